"""`evaluate` scores a question's own answer above answers to other questions, in pairs that were committed before it was."""

from __future__ import annotations

import json
import random
from bisect import bisect_left, bisect_right
from functools import cache
from pathlib import Path

import pytest

from processors.interview.contract import EvaluateInput
from processors.protocol import AnyProcessor
from streams.testing import run_processor
from streams.worker.child.loader import load_versions

pytestmark = pytest.mark.accept

HERE = Path(__file__).parent
LEAST_AUC = {"en": 0.90, "ko": 0.75}
#: How far in the list the other answers are: evenly spread, so that few are of the same topic, as among all others.
DISTANCES = (10, 30, 50, 70, 90)
RESAMPLES = 1_000

Pairs = list[tuple[str, str]]


def pairs(language: str) -> Pairs:
    """Return question and answer of every pair."""
    read = json.loads((HERE / f"pairs_{language}.json").read_text(encoding="utf-8"))
    return [(pair["question"], pair["answer"]) for pair in read]


@cache
def evaluate() -> AnyProcessor:
    return load_versions("evaluate", None, "cpu", None, {})[0].processor


def relevance(question: str, answer: str, language: str) -> int:
    """Return the score that says whether an answer fits its question; 0 if the answer was not scored."""
    output = run_processor(evaluate(), EvaluateInput(question=question, answer=answer, language=language))
    assert output.method == "heuristic"
    return output.relevance or 0


def auc(own: list[int], others: list[list[int]]) -> float:
    """Return the probability that an own answer has a higher score than another question's, ties counting half."""
    flat = sorted(score for scores in others for score in scores)
    below = sum(bisect_left(flat, score) + bisect_right(flat, score) for score in own) / 2
    return below / (len(own) * len(flat))


def interval(own: list[int], others: list[list[int]]) -> tuple[float, float]:
    """Return the 95 % interval of the AUC by resampling questions."""
    chance = random.Random(7)
    areas = []
    for _ in range(RESAMPLES):
        drawn = chance.choices(range(len(own)), k=len(own))
        areas.append(auc([own[i] for i in drawn], [others[i] for i in drawn]))
    areas.sort()
    return areas[RESAMPLES // 40], areas[-RESAMPLES // 40]


@pytest.mark.parametrize("language", ["en", "ko"])
def test_there_are_a_hundred_pairs_of_two_to_five_sentences(language: str) -> None:
    found = pairs(language)
    assert len({question for question, _ in found}) == len({answer for _, answer in found}) == len(found) >= 100
    for _, answer in found:
        sentences = answer.replace("? ", ". ").replace("! ", ". ").count(". ") + 1
        assert 2 <= sentences <= 5, answer


@pytest.mark.parametrize("language", ["en", "ko"])
def test_own_answers_score_above_others(language: str) -> None:
    found = pairs(language)
    own = [relevance(question, answer, language) for question, answer in found]
    others = [
        [relevance(question, found[(place + far) % len(found)][1], language) for far in DISTANCES]
        for place, (question, _) in enumerate(found)
    ]
    area, (low, high) = auc(own, others), interval(own, others)
    print(
        f"{language}: own answer against others', AUC {area:.3f} (95 % {low:.3f} to {high:.3f}), {len(found)} questions"
    )
    assert area >= LEAST_AUC[language]
