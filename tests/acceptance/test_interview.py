"""Interviews: no stage is skipped in 10,000 random ones, and MiniLM's vectors are those that transformers computes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from processors.interview.bank import bank, pairs
from processors.interview.contract import AskedQuestion, CandidateFacts, QuestionInput, QuestionOutput
from processors.interview.minilm import _folder, load_minilm
from processors.interview.question import Question
from processors.interview.scenario import plan
from processors.interview.texts import same_text
from processors.local import LocalLoadContext, run_one

pytestmark = pytest.mark.accept

INTERVIEWS = 10_000
FACTS = CandidateFacts(
    positions=["engineer", "clerk"], companies=["Acme"], skills=["Kafka", "SQL"], projects=["ledger"]
)


def random_interview(question: Question, chance: random.Random, folder: Path) -> tuple[list[str], list[str]]:
    """Return the stages that an interview passed, and those of its scenario. The caller sends anything with its questions."""
    language = "ko"
    count = chance.choice([0, 0, *range(7, 16)])
    facts = chance.choice([None, FACTS])
    answers = [answer for _, answer in pairs(language)]
    asked: list[AskedQuestion] = []
    passed: list[str] = []
    texts: set[str] = set()
    while True:
        given = QuestionInput(language=language, facts=facts, asked=chance.sample(asked, len(asked)), count=count)
        made = run_one(question, given, folder)
        assert isinstance(made, QuestionOutput)
        if not made.questions:
            break
        (row,) = made.questions
        assert row.source == "template" if row.order <= 2 else row.source in ("template", "retrieval")
        passed.append(row.stage)
        texts.add(same_text(row.text))
        lie = chance.choice(["", "closing", row.stage])
        asked.append(AskedQuestion(row.order, row.text, chance.choice([None, "", *answers]), lie, lie))
    assert len(texts) == len(passed)  # no question comes twice
    return passed, [stage.name for stage in plan(question.scenarios[f"general-{language}"], count)]


def test_no_stage_is_skipped_in_10000_random_interviews(tmp_path: Path) -> None:
    question = Question()
    question.load(LocalLoadContext(Question, options={"INTERVIEW_LANGUAGES": "ko"}))
    chance = random.Random(12)
    skipped = 0
    for _ in range(INTERVIEWS):
        passed, expected = random_interview(question, chance, tmp_path)
        skipped += passed != expected
    print(f"{INTERVIEWS:,} interviews, {skipped} with a stage skipped or out of order")
    assert skipped == 0


def test_the_vectors_are_those_of_transformers() -> None:
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(_folder()).eval(), AutoTokenizer.from_pretrained(_folder())
    texts = [text for topic in bank("en") for text in topic.questions] + [answer for _, answer in pairs("en")]
    with torch.inference_mode():
        read = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
        hidden, held = model(**read).last_hidden_state, read["attention_mask"][..., None]
        theirs = torch.nn.functional.normalize((hidden * held).sum(1) / held.sum(1), dim=1)
    assert (load_minilm().embed(texts) - theirs).abs().max() < 1e-5
