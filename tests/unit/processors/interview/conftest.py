"""The two processors without a language model, loaded once: both share the languages' models."""

from __future__ import annotations

import pytest

from processors.interview.evaluate import Evaluate
from processors.interview.question import Question
from processors.local import loaded


@pytest.fixture(scope="session")
def question() -> Question:
    made = loaded(Question)
    assert isinstance(made, Question)
    return made


@pytest.fixture(scope="session")
def evaluate() -> Evaluate:
    made = loaded(Evaluate)
    assert isinstance(made, Evaluate)
    return made
