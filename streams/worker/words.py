"""What a processor may say of its progress, made fit to travel. A sign of life must never fail the job that gives it."""

from __future__ import annotations

import math
from typing import Any

LONGEST_STAGE = 100
LONGEST_MESSAGE = 500


def word(stage: Any, percent: Any, message: Any) -> tuple[str, float | None, str]:
    """Stage, percent and message within their bounds: a percent outside 0 to 100 is moved to the nearer end, what is no
    number becomes None, longer texts are cut."""
    return str(stage)[:LONGEST_STAGE], _percent(percent), str(message)[:LONGEST_MESSAGE]


def _percent(percent: Any) -> float | None:
    try:
        number = float(percent)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(number) else min(100.0, max(0.0, number))
