"""Values and differences as short texts, the same on the terminal and in the HTML page."""

from __future__ import annotations

import json
from typing import Any

from streams.shadow.differences import Difference


def number(value: float | None) -> str:
    """Return a number with four digits; `-` for none."""
    return "-" if value is None else f"{value:.4g}"


def signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4g}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def dice(value: float) -> str:
    """Return a Dice or a similarity; one just below 1 is not shown as 1."""
    return "0.9999" if 0.9999 <= value < 1 else f"{value:.4f}"


def text_of(value: Any) -> str:
    """Return a value as one text; `-` for none."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def difference_text(each: Difference) -> str:
    """Say in a few words how a field differs."""
    if each.kind in ("missing", "extra"):
        return "only before" if each.kind == "missing" else "only after"
    parts = []
    if each.mask is not None:
        parts.append(f"Dice {dice(each.mask.dice)}")
        if each.mask.change_ml is not None:
            parts.append(f"{signed(each.mask.change_ml)} ml")
        parts += [f"label {label}: {dice(value)}" for label, value in each.mask.labels.items()]
    elif each.similarity is not None and each.kind in ("text", "list"):
        parts.append(f"similarity {dice(each.similarity)}")
    if each.absolute is not None:
        parts.append(
            f"by {number(each.absolute)}" + (f" ({percent(each.relative)})" if each.relative is not None else "")
        )
    return ", ".join(filter(None, [*parts, each.note])) or f"{text_of(each.before)} → {text_of(each.after)}"
