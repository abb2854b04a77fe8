"""What a processor says of its progress, made fit to travel."""

from __future__ import annotations

from typing import Any

import pytest

from streams.worker.words import LONGEST_MESSAGE, LONGEST_STAGE, word


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (0, 0.0),
        (55.5, 55.5),
        ("7", 7.0),
        (-3, 0.0),
        (100.1, 100.0),
        (float("inf"), 100.0),
        (float("nan"), None),
        (None, None),
        ("half", None),
        (10**400, None),
        ([], None),
    ],
)
def test_a_percent_is_a_number_from_0_to_100_or_none(said: Any, told: float | None) -> None:
    assert word("stage", said, "") == ("stage", told, "")


def test_long_texts_are_cut_and_others_become_texts() -> None:
    stage, _, message = word("s" * 1000, None, "m" * 10_000)
    assert (len(stage), len(message)) == (LONGEST_STAGE, LONGEST_MESSAGE)
    assert word(3, None, None) == ("3", None, "None")
