"""Lines of text with their places and styles: the form that both readers make, and all that the rules see of a document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

#: Gaps in ems. Words are closer than WORD_GAP; labels in a row of tags, or columns of a table, are further apart.
WORD_GAP = 0.5
CELL_GAP = 0.9
#: The same between two styles: a bold date before a title.
STYLE_GAP = 0.55


@dataclass(frozen=True, slots=True)
class Style:
    """Looks of a text. `size` is in points, rounded to halves; `colour` is 0xRRGGBB."""

    size: float = 10.0
    bold: bool = False
    italic: bool = False
    colour: int = 0

    def is_like(self, other: Style) -> bool:
        """True if both look alike; a letter from another font may be a little larger."""
        same = (self.bold, self.italic, self.colour) == (other.bold, other.italic, other.colour)
        return same and abs(self.size - other.size) <= 0.16 * max(self.size, other.size)


@dataclass(frozen=True, slots=True)
class TextRun:
    """Text in one style on one line. Coordinates are in points; `y` is the baseline's distance from the page's top."""

    text: str
    style: Style
    x0: float
    x1: float
    y: float
    #: Position in the file: spans that follow each other were written one after the other.
    order: int = 0


@dataclass(frozen=True, slots=True)
class TextRuns:
    """Text runs on one line, from left to right."""

    spans: tuple[TextRun, ...]

    @property
    def text(self) -> str:
        return joined(self.spans)

    @property
    def style(self) -> Style:
        """Style of the longest span."""
        return max(self.spans, key=lambda span: len(span.text)).style

    @property
    def x0(self) -> float:
        return self.spans[0].x0

    @property
    def x1(self) -> float:
        return max(span.x1 for span in self.spans)


@dataclass(frozen=True, slots=True)
class Cell(TextRuns):
    """Neighbouring spans without a wide gap between them."""


@dataclass(frozen=True, slots=True)
class Line(TextRuns):
    """Spans of one line from left to right; several lines where a text wraps. `page` counts from 0."""

    page: int = 0
    #: Left and right edge of the column that the line is in.
    left: float = 0.0
    right: float = 0.0
    #: Distance from the line above in ems; large at a column's top.
    gap: float = 0.0
    #: True if the format itself marks the line as a list's item (DOCX numbering).
    item: bool = False
    #: True if no other line of the column reaches as far: whether it is full can't be seen.
    longest: bool = False

    @property
    def end(self) -> float:
        """Right edge of the last span: where a line that was joined from several ends."""
        return self.spans[-1].x1

    @property
    def cells(self) -> list[Cell]:
        return self.cells_apart(CELL_GAP)

    def cells_apart(self, gap: float) -> list[Cell]:
        """Return the line's cells: it is cut where the gap is wider than `gap` ems."""
        cells: list[list[TextRun]] = []
        for span in self.spans:
            if cells and is_near(cells[-1][-1], span, gap):
                cells[-1].append(span)
            else:
                cells.append([span])
        return [Cell(tuple(cell)) for cell in cells]


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of one column of one page, from top to bottom."""

    lines: tuple[Line, ...]
    page: int
    left: float
    right: float
    #: True for a text box, a footer or a column of a DOCX file: no other block goes on in it.
    alone: bool = False


@dataclass(slots=True)
class Document:
    """Blocks in reading order, addresses behind links, and sentences for the reader of the result."""

    blocks: list[Block] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[Line]:
        return [line for block in self.blocks for line in block.lines]


def is_near(last: TextRun, span: TextRun, gap: float = CELL_GAP) -> bool:
    """True if two spans are in one cell: the gap between them is at most `gap` ems, less where the style changes."""
    em = max(last.style.size, span.style.size)
    return span.x0 - last.x1 <= em * (gap if last.style.is_like(span.style) else min(gap, STYLE_GAP))


def joined(spans: Iterable[TextRun]) -> str:
    """Return the text of spans on one line, with a space where there is a gap."""
    text = ""
    last: TextRun | None = None
    for span in spans:
        if last is not None:
            # A span further left is the rest of a line that wraps.
            apart = span.x0 - last.x1 > 0.12 * span.style.size or abs(span.y - last.y) > 0.5 * span.style.size
            text += " " if apart else ""
        text, last = text + span.text, span
    return re.sub(r"[^\S\n]+", " ", text).strip()


def median(values: Sequence[float], default: float = 0.0) -> float:
    """Return the upper median of `values`; `default` if there are none."""
    return sorted(values)[len(values) // 2] if values else default
