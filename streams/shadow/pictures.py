"""Pictures of a report, inline: a histogram as SVG, and the slice of two masks as PNG."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from streams.shadow.differences import MaskView
from streams.shadow.html import Markup, element, join
from streams.shadow.values import dice, signed

#: Pixels of a mask's picture in the page.
WIDTH = 320
BINS = 20
_BAR, _HEIGHT, _ROOM = 24, 90, 18
#: The palette of processors/mask_comparison.py.
_COLOURS = (("#cdcdcd", "both"), ("#e69f00", "only before"), ("#56b4e9", "only after, or another label"))


def legend() -> Markup:
    return element(
        "p", [join([element("span", class_="swatch", style=f"background:{c}"), text]) for c, text in _COLOURS]
    )


def mask_picture(path: str, mask: MaskView) -> Markup | None:
    """Return the slice where two masks differ most; None if there is no picture."""
    if not mask.picture or not mask.width_mm:
        return None
    source = f"data:image/png;base64,{base64.b64encode(mask.picture).decode()}"
    height = max(1, round(WIDTH * mask.height_mm / mask.width_mm))
    text = f"{path}, slice {mask.level}: Dice {dice(mask.dice)}, {signed(mask.change_ml)} ml"
    return element(
        "figure",
        element("img", class_="mask", src=source, width=WIDTH, height=height, alt=text),
        element("figcaption", text, class_="note"),
    )


def histogram(values: Sequence[float]) -> Markup:
    """Return how many values lie in each twentieth of 0 to 1."""
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int(value * BINS))] += 1
    most = max(counts, default=0) or 1
    parts: list[Markup] = []
    for n, count in enumerate(counts):
        height = round(_HEIGHT * count / most)
        title = element("title", f"{n / BINS:.2f} to {(n + 1) / BINS:.2f}: {count} cases")
        box = {"x": n * _BAR, "y": _ROOM + _HEIGHT - height, "width": _BAR - 2, "height": height, "fill": "#56b4e9"}
        parts.append(element("g", title, element("rect", **box)))
        if count:
            label = {"x": n * _BAR + _BAR / 2 - 1, "y": _ROOM + _HEIGHT - height - 4}
            parts.append(element("text", count, **label, text_anchor="middle", font_size=11, fill="currentColor"))
    axis = _ROOM + _HEIGHT + 14
    for n in range(0, BINS + 1, 5):
        at = {"x": n * _BAR, "y": axis, "font_size": 11, "fill": "currentColor"}
        anchor = "start" if n == 0 else "end" if n == BINS else "middle"
        parts.append(element("text", f"{n / BINS:.2f}", **at, text_anchor=anchor))
    width = BINS * _BAR
    return element("svg", parts, width=width, height=axis + 6, viewBox=f"0 0 {width} {axis + 6}", role="img")
