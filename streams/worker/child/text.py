"""Cleans up text and numbers that come from a processor: its progress, generated text,
and the messages of its errors. Never raises."""

from __future__ import annotations

import math
from typing import Any

from schemas.plain import REPLACEMENT
from streams.worker.text_frame import LONGEST_STREAM

LONGEST_STAGE = 100
LONGEST_MESSAGE = 500


def to_text(value: Any, longest: int = LONGEST_MESSAGE) -> str:
    """Convert anything to text that Avro, JSON and Postgres accept, cut to `longest` characters.

    A lone surrogate (as in a file name that is not UTF-8) becomes its escape, and NUL becomes U+FFFD. Never raises: if
    `__str__` raises, the text names the value's type instead.
    """
    try:
        text = str(value)[:longest]
    except Exception as error:  # noqa: BLE001 - this is the processor's own code
        text = f"({type(value).__name__} without a text: {type(error).__name__})"
    if "\0" in text:
        text = text.replace("\0", REPLACEMENT)
    return text.encode("utf-8", "backslashreplace").decode()[:longest]


def clean_progress(stage: Any, percent: Any, message: Any) -> tuple[str, float | None, str]:
    """Bring a progress report within its bounds: texts are cut, a percentage is limited to 0..100 (None if it is no number)."""
    number = number_or_none(percent)
    limited = None if number is None else min(100.0, max(0.0, number))
    return to_text(stage, LONGEST_STAGE), limited, to_text(message, LONGEST_MESSAGE)


def clean_text(text: Any) -> str:
    """Bring generated text within what a job may stream."""
    return to_text(text, LONGEST_STREAM)


def number_or_none(value: Any) -> float | None:
    """Convert to a number, which may be infinite; None for NaN and for anything that is no number. Never raises."""
    try:
        number = float(value)
    except Exception:  # noqa: BLE001 - the value may be an object of the processor's own
        return None
    return None if math.isnan(number) else number
