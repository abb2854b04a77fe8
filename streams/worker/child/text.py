"""What a processor says, of its progress or of its failure, made fit to travel. Words never fail the job that says them."""

from __future__ import annotations

import math
from typing import Any

LONGEST_STAGE = 100
LONGEST_MESSAGE = 500
#: In place of a NUL, which Postgres' text can't hold.
REPLACEMENT = "\ufffd"


def to_text(said: Any, longest: int = LONGEST_MESSAGE) -> str:
    """Anything as a text that Avro, JSON and Postgres all take, cut to `longest` characters.

    A lone surrogate, as in a file name that is not UTF-8, becomes its escape, a NUL U+FFFD. Raises nothing: of what has no
    text at all (its `__str__` raises) the type is told.
    """
    try:
        text = str(said)[:longest]
    except Exception as error:  # noqa: BLE001 - it is the processor's own code
        text = f"({type(said).__name__}, whose text can't be had: {type(error).__name__})"
    if "\0" in text:
        text = text.replace("\0", REPLACEMENT)
    return text.encode("utf-8", "backslashreplace").decode()[:longest]


def clean_progress(stage: Any, percent: Any, message: Any) -> tuple[str, float | None, str]:
    """Stage, percent and message within their bounds: a percent outside 0 to 100 is moved to the nearer end, what is no
    number becomes None, longer texts are cut and all are made readable."""
    return to_text(stage, LONGEST_STAGE), _percent(percent), to_text(message, LONGEST_MESSAGE)


def _percent(percent: Any) -> float | None:
    number = number_or_none(percent)
    return None if number is None else min(100.0, max(0.0, number))


def number_or_none(said: Any) -> float | None:
    """A number, infinite or not; None for what is none, which NaN is too. Raises nothing."""
    try:
        number = float(said)
    except Exception:  # noqa: BLE001 - it may be an object of the processor's own
        return None
    return None if math.isnan(number) else number
