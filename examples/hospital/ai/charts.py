"""Results as tables and bars: numbers for people, from the JSON that a callback brought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ai.models import Inference, Model

#: Widest bar, in units of the drawing.
WIDTH = 200.0


def figures(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return name and value of everything in a result that fits into one cell of a table."""
    rows = []
    for name, value in result.items():
        if isinstance(value, list) and all(not isinstance(each, dict | list) for each in value):
            rows.append((_words(name), ", ".join(map(_text, value[:20])) + (" …" if len(value) > 20 else "") or "none"))
        elif not isinstance(value, dict | list):
            rows.append((_words(name), _text(value)))
    return rows


def bars(inference: Inference) -> list[dict[str, Any]]:
    """Return the bars of a chart: MG's probability of each class, MM's contributions (log-odds, below zero to the left)."""
    values = inference.result.get("contributions" if inference.model == Model.MM else "probabilities") or {}
    if isinstance(values, list):  # in the order of the classes
        values = dict(zip(map(str, inference.result.get("classes") or ()), values, strict=False))
    numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
    scale = max((abs(each) for each in numbers.values()), default=0.0) or 1.0
    signed = any(each < 0 for each in numbers.values())
    half = WIDTH / 2 if signed else WIDTH
    return [
        {
            "name": _words(name),
            "value": f"{value:+.3f}" if signed else f"{value:.3f}",
            "x": round((half if signed else 0.0) + min(value, 0.0) / scale * half, 1),
            "width": round(max(abs(value) / scale * half, 1.0), 1),
            "axis": half if signed else 0,
            "below": value < 0,
        }
        for name, value in numbers.items()
    ]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else "–" if value is None else str(value)
