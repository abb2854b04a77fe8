"""The shipped data of a language: questions by topic, and themes with the words that questions and answers have for them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class BankTopic:
    """Questions on one topic. Stages of scenarios name topics."""

    name: str
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Theme:
    """Words, separated by spaces, that questions about the theme have (`asks`) and that answers have."""

    name: str
    asks: str
    answers: str


@cache
def bank(language: str) -> tuple[BankTopic, ...]:
    """Return the bank of `en` or `ko`, written by hand for this project."""
    return tuple(
        BankTopic(topic["name"], tuple(topic["questions"]))
        for topic in json.loads((_DATA / f"bank_{language}.json").read_text(encoding="utf-8"))["topics"]
    )


@cache
def themes(language: str) -> tuple[Theme, ...]:
    """Return the themes of `en` or `ko`, written by hand for this project."""
    return tuple(
        Theme(**theme)
        for theme in json.loads((_DATA / f"themes_{language}.json").read_text(encoding="utf-8"))["themes"]
    )


@cache
def pairs(language: str) -> tuple[tuple[str, str], ...]:
    """Return questions with an answer to each, on which the weights of the heuristic were chosen. Made up for this project."""
    return tuple(
        (question, answer)
        for question, answer in json.loads((_DATA / "pairs.json").read_text(encoding="utf-8"))[language]
    )
