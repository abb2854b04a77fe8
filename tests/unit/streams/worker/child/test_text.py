"""Progress reports and error messages of a processor are cleaned up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.worker.child.text import LONGEST_MESSAGE, LONGEST_STAGE, clean_progress, to_text


@pytest.mark.parametrize(
    ("said", "cleaned"),
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
def test_a_percent_is_a_number_from_0_to_100_or_none(said: Any, cleaned: float | None) -> None:
    assert clean_progress("stage", said, "") == ("stage", cleaned, "")


def test_long_texts_are_cut_and_others_become_texts() -> None:
    stage, _, message = clean_progress("s" * 1000, None, "m" * 10_000)
    assert (len(stage), len(message)) == (LONGEST_STAGE, LONGEST_MESSAGE)
    assert clean_progress(3, None, None) == ("3", None, "None")


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no")

    def __float__(self) -> float:
        raise RuntimeError("no")


def test_text_that_avro_json_or_postgres_refuse_is_replaced() -> None:
    stage, percent, message = clean_progress("\udcff.dcm", Mute(), "a\0" + "\udcff" * 1000)
    assert (stage, percent) == ("\\udcff.dcm", None)
    assert message.startswith("a\ufffd\\udcff")
    assert len(message.encode()) <= 3 * LONGEST_MESSAGE
    assert clean_progress(Mute(), None, "") == ("(Mute without a text: RuntimeError)", None, "")


@given(st.text(st.characters()), st.integers(0, 50))
def test_any_text_can_be_encoded(said: str, longest: int) -> None:
    cleaned = to_text(said, longest)
    assert cleaned.encode().decode() == cleaned
    assert "\0" not in cleaned
    assert len(cleaned) <= longest
