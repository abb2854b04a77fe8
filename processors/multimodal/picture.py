"""Draws what each input adds to the risk: a bar to the right raises it, one to the left lowers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH, ROW, TOP, MARGIN, LABELS = 760, 40, 70, 24, 190
RAISES, LOWERS, INK, PALE, PAPER = "#b5422c", "#2c6fb5", "#20242a", "#8a929c", "#ffffff"
#: Logit at the end of the scale, at least: small contributions must not look large.
SCALE = 1.0


def write_picture(
    path: Path,
    title: str,
    contributions: Mapping[str, float],
    missing: Sequence[str],
) -> None:
    """Write a PNG. `contributions` are logits, by input; inputs that are `missing` get a row without a bar."""
    height = TOP + ROW * (len(contributions) + len(missing)) + MARGIN
    image = Image.new("RGB", (WIDTH, height), PAPER)
    draw = ImageDraw.Draw(image)
    large, small = ImageFont.load_default(20), ImageFont.load_default(15)
    draw.text((MARGIN, 14), title, INK, large)
    draw.text((MARGIN, 42), "what each input adds, on the logit", PALE, small)
    centre = (LABELS + WIDTH - MARGIN) // 2
    end = max([SCALE, *map(abs, contributions.values())])
    y = TOP
    for name, logit in contributions.items():
        length = round((WIDTH - MARGIN - 70 - centre) * logit / end)
        left, right = sorted((centre, centre + length))
        draw.text((MARGIN, y + 9), name, INK, small)
        draw.rectangle((left, y + 7, max(right, left + 1), y + ROW - 9), RAISES if logit > 0 else LOWERS)
        text, beyond = f"{logit:+.2f}", centre + length + (6 if logit > 0 else -6)
        draw.text((beyond, y + 9), text, INK, small, anchor="la" if logit > 0 else "ra")
        y += ROW
    for name in missing:
        draw.text((MARGIN, y + 9), name, PALE, small)
        draw.text((centre + 6, y + 9), "missing", PALE, small)
        y += ROW
    draw.line((centre, TOP - 2, centre, height - MARGIN), INK)
    image.save(path, "PNG")
