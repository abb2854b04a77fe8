"""Pictures of what has none of its own: a transcript's speakers over time, a page of text, a page of a PDF."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

WIDTH, LINE, MARGIN = 900, 22, 16
COLOURS = ((66, 133, 244), (234, 67, 53), (52, 168, 83), (251, 188, 5), (171, 71, 188))
INK, PAPER = (32, 33, 36), (255, 255, 255)
LINES = 34
#: Fonts with Korean letters, where a system has one; without one they are drawn as boxes.
FONTS = ("NotoSansCJK-Regular.ttc", "NanumGothic.ttf", "DejaVuSans.ttf")


def speakers(segments: Sequence[dict[str, Any]], duration: float) -> bytes:
    """Draw a row for each speaker, with a bar for each of its segments."""
    names = sorted({str(each.get("speaker", "")) for each in segments})
    made = Image.new("RGB", (WIDTH, 2 * MARGIN + 2 * LINE * max(1, len(names))), PAPER)
    draw, font = ImageDraw.Draw(made), _font(14)
    room = WIDTH - 2 * MARGIN - 150
    for row, name in enumerate(names):
        top = MARGIN + 2 * LINE * row
        draw.text((MARGIN, top + 4), name or "speech", fill=INK, font=font)
        for each in segments:
            if str(each.get("speaker", "")) == name:
                left, right = (MARGIN + 150 + room * float(each[edge]) / duration for edge in ("start", "end"))
                draw.rectangle((left, top, max(right, left + 2), top + LINE), fill=COLOURS[row % len(COLOURS)])
    return _png(made)


def text(content: str) -> bytes:
    """Draw the beginning of a text."""
    lines = [part for line in content.splitlines() for part in textwrap.wrap(line, 105) or [""]][:LINES]
    made = Image.new("RGB", (WIDTH, 2 * MARGIN + LINE * len(lines)), PAPER)
    draw, font = ImageDraw.Draw(made), _font(14)
    for row, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + row * LINE), line, fill=INK, font=font)
    return _png(made)


def pdf(path: Path) -> bytes:
    """Draw the first page of a PDF."""
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    try:
        return _png(document[0].render(scale=1.3).to_pil())
    finally:
        document.close()


def _font(size: int) -> Any:
    for name in FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
