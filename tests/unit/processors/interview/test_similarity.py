"""Vectors by MiniLM and Kiwi, themes, and the plain function `relevance`: retrieval and scores rest on them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from processors.interview import minilm
from processors.interview.bank import pairs
from processors.interview.english import stem
from processors.interview.similarity import load_affinity, relevance
from processors.interview.texts import cleaned, language_of, sentences
from schemas.errors import ModelNotFound


def test_the_vectors_are_those_that_transformers_computes() -> None:
    """Cosines by transformers 5.17's AutoModel and mean pooling; tests/acceptance/test_interview.py computes them again."""
    texts = ["Where do you live?", "I have a flat in Leeds.", "The index was missing, so the query took ten seconds."]
    vectors = load_affinity("en").model.vectors(texts)
    assert vectors.shape == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert (vectors @ vectors.T)[np.triu_indices(3, 1)] == pytest.approx([0.29928, 0.04436, 0.05133], abs=1e-4)


def test_a_text_has_the_same_vector_alone_and_beside_a_longer_one() -> None:
    model = load_affinity("en").model
    alone, beside = model.vectors(["Why?"])[0], model.vectors(["Why?", "word " * 400])[0]
    assert alone == pytest.approx(beside, abs=1e-5)


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = minilm._folder()
    for name in minilm.FILES:
        shutil.copyfile(folder / name, tmp_path / name)
    with (tmp_path / "tokenizer.json").open("ab") as file:
        file.write(b" ")
    monkeypatch.setattr(minilm, "_folder", lambda: tmp_path)
    with pytest.raises(ModelNotFound, match=r"tokenizer\.json is missing or altered"):
        minilm.load_minilm()


@pytest.mark.parametrize(("language", "least"), [("en", 0.90), ("ko", 0.80)])
def test_own_answers_are_more_relevant_than_others(language: str, least: float) -> None:
    """On the pairs that the weights were chosen on, so no measure of quality: processors/interview/CARD.md has that."""
    chosen = pairs(language)[:10]
    affinity = load_affinity(language)
    made = np.array([affinity.of([question for question, _ in chosen], answer) for _, answer in chosen]).T
    own, others = np.diag(made), made[~np.eye(len(made), dtype=bool)]
    assert (own[:, None] > others).mean() >= least


def test_relevance_is_a_plain_function_of_two_texts() -> None:
    question, answer = pairs("ko")[3]
    assert 70 < relevance(question, answer) <= 100
    assert relevance(question, answer) == relevance(question, answer, "ko")
    assert relevance(question, "") == relevance("", answer) == relevance(question, "\0") == 0.0


def test_unknown_words_have_a_vector_of_zeros_and_do_no_harm() -> None:
    model = load_affinity("ko").model
    assert not model.vectors(["뷁뿕쀍"]).any()
    assert np.isfinite(load_affinity("ko").of(["갈등을 어떻게 풀었나요?"], "뷁뿕쀍")).all()


def test_stems_join_the_forms_of_a_word() -> None:
    assert len({stem(word) for word in ("organise", "organised", "organises", "organising")}) == 1
    assert stem("planned") == stem("plan")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I led a team.", "en"),
        ("팀을 이끌었던 경험", "ko"),
        ("Kafka와 Postgres를 써서 서버를 만들었습니다", "ko"),
        ("hi", ""),
        ("私は日本語を話します", "other"),
    ],
)
def test_a_language_is_known_by_its_script(text: str, language: str) -> None:
    assert language_of(text) == language


def test_texts_are_cleaned_and_cut_into_sentences() -> None:
    assert cleaned("a\0b\x07\r\nc\u200b\ud800 ", 100) == "ab\n\nc"
    assert sentences("One. Two!\nThree? 넷입니다. ") == ["One.", "Two!", "Three?", "넷입니다."]
    assert len(sentences("a. " * 1000)) == 64
