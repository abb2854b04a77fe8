"""The heuristic of `evaluate`: relevance by affinity, coverage by the breadth of words, structure by form.

It understands nothing. Its weights were chosen on `data/pairs.json`; CARD.md says how it does on pairs it was not made with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from processors.interview.form import AnswerForm, form_of
from processors.interview.similarity import Affinity

#: Weights of relevance, coverage and structure in the overall score.
WEIGHTS = (0.6, 0.25, 0.15)
#: Different words of the question's themes after which coverage is 63.
_BREADTH = 3.0
_LOW = 40

_TEXTS = {
    "en": {
        "none": "There is no answer.",
        "off": "By its words the answer hardly belongs to the question.",
        "few": "The answer has few of the words that answers to such a question usually have: it may leave out a part.",
        "short": "The answer is very short: describe the situation, what you did, and what came of it.",
        "long": "The answer is very long: keep to the situation, what you did, and what came of it.",
        "joined": "Few words join the sentences: say what came first, what followed, and why.",
        "outcome": "No outcome is found: say what came of it, best with a figure.",
        "fine": "Nothing was found that is missing.",
    },
    "ko": {
        "none": "답변이 없습니다.",
        "off": "사용한 단어로 보면 질문과 관련이 적은 답변입니다.",
        "few": "이런 질문의 답변에 흔히 나오는 단어가 적습니다. 빠진 내용이 있을 수 있습니다.",
        "short": "답변이 매우 짧습니다. 상황과 본인의 행동, 결과를 말해 주세요.",
        "long": "답변이 매우 깁니다. 상황과 본인의 행동, 결과를 중심으로 말해 주세요.",
        "joined": "문장을 이어 주는 말이 적습니다. 순서와 이유가 드러나게 말해 주세요.",
        "outcome": "결과를 찾지 못했습니다. 가능하면 수치로 결과를 말해 주세요.",
        "fine": "빠진 점을 찾지 못했습니다.",
    },
}


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """Scores from 0 to 100, None where they can't be had."""

    relevance: int | None
    coverage: int | None
    structure: int | None
    feedback: list[str] = field(default_factory=list)

    @property
    def overall(self) -> int | None:
        scores = (self.relevance, self.coverage, self.structure)
        known = [score for score in scores if score is not None]
        return round(float(np.dot(WEIGHTS, known))) if len(known) == len(scores) else None


def scored(question: str, answer: str, affinity: Affinity) -> AnswerScores:
    """Return the heuristic's scores of an answer in the language of `affinity`; both texts cleaned."""
    texts = _TEXTS[affinity.language]
    if not answer:
        return AnswerScores(0, 0, 0, [texts["none"]])
    relevance = round(affinity.relevance(question, answer))
    coverage = round(100 * (1 - math.exp(-affinity.breadth(question, answer) / _BREADTH)))
    form = form_of(answer, affinity.language)
    return AnswerScores(relevance, coverage, form.score, _feedback(affinity.language, relevance, coverage, form))


def _feedback(language: str, relevance: int, coverage: int, form: AnswerForm) -> list[str]:
    flags = {
        "off": relevance < _LOW,
        "few": relevance >= _LOW > coverage,
        "short": form.too_short,
        "long": form.too_long,
        "joined": not form.joined,
        "outcome": not form.outcome,
    }
    return [_TEXTS[language][name] for name, applies in flags.items() if applies] or [_TEXTS[language]["fine"]]
