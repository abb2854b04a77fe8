"""Puts a page's spans into reading order: finds columns by the gaps between spans, and lines within each column.

Two columns that stand side by side are read one after the other. Rows whose cells belong together (a title with its dates
at the right margin, labels before values, a table) stay one line. `_is_row_wise` decides which of the two it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from processors.resume.dates import only_dates
from processors.resume.document import Block, Line, TextRun, is_near, joined, median
from processors.resume.headings import heading_of
from processors.resume.parts import roles_of

#: Fewest rows on either side of a gap that make a column.
MIN_ROWS = 3
#: Points by which bullets and what hangs below them stand in.
INDENT = 25
#: Share of the rows of the smaller side that have a partner on their baseline, above which two sides are one table.
ALIGNED = 0.85


@dataclass(slots=True)
class _Segment:
    """Spans that surely belong together: written one after the other, with no wide gap between."""

    spans: list[TextRun]

    @property
    def x0(self) -> float:
        return self.spans[0].x0

    @property
    def x1(self) -> float:
        return max(span.x1 for span in self.spans)

    @property
    def y(self) -> float:
        return self.spans[0].y

    @property
    def size(self) -> float:
        return max(span.style.size for span in self.spans)

    @property
    def text(self) -> str:
        return joined(self.spans)


_Row = list[_Segment]


@dataclass(frozen=True, slots=True)
class _Gutter:
    """A vertical line at `x` that no segment crosses between two rows (the last excluded)."""

    x: float
    first: int
    last: int


def blocks_of(spans: Sequence[TextRun], page: int, gutters: list[float]) -> list[Block]:
    """Return a page's blocks in reading order. `gutters`: where the pages before have columns; those found here are added."""
    segments = _segments([span for span in spans if span.text])
    return [block for rows in _parts(_rows(segments), 0, gutters) if (block := _block(rows, page)) is not None]


def _segments(spans: Sequence[TextRun]) -> list[_Segment]:
    segments: list[_Segment] = []
    for span in spans:
        last = segments[-1].spans[-1] if segments else None
        if last is not None and _joins(last, span):
            segments[-1].spans.append(span)
        else:
            segments.append(_Segment([span]))
    return segments


def _joins(last: TextRun, span: TextRun) -> bool:
    em = max(last.style.size, span.style.size)
    same_line = abs(last.y - span.y) < 0.3 * em
    return same_line and span.order == last.order + 1 and span.x0 - last.x1 > -0.5 * em and is_near(last, span)


def _rows(segments: Sequence[_Segment]) -> list[_Row]:
    """Return segments by baseline, from top to bottom, each row from left to right."""
    rows: list[_Row] = []
    for segment in sorted(segments, key=lambda segment: (segment.y, segment.x0)):
        near = rows[-1][0] if rows else None
        if near is not None and abs(segment.y - near.y) < 0.35 * min(segment.size, near.size):
            rows[-1].append(segment)
        else:
            rows.append([segment])
    return [sorted(row, key=lambda segment: segment.x0) for row in rows]


def _parts(rows: list[_Row], depth: int, gutters: list[float]) -> list[list[_Row]]:
    """Return the rows of each block in reading order."""
    gutter = _best_gutter(rows, gutters) if depth < 4 else None
    if gutter is None:
        return [rows] if rows else []
    gutters.append(gutter.x)
    above, below = rows[: gutter.first], rows[gutter.last :]
    left, right = _sides(rows[gutter.first : gutter.last], gutter.x)
    return [part for side in (above, left, right, below) for part in _parts(side, depth + 1, gutters)]


def _sides(rows: Sequence[_Row], x: float) -> tuple[list[_Row], list[_Row]]:
    left = [[segment for segment in row if segment.x0 < x - 1] for row in rows]
    right = [[segment for segment in row if segment.x0 >= x - 1] for row in rows]
    return [row for row in left if row], [row for row in right if row]


def _best_gutter(rows: list[_Row], known: Sequence[float]) -> _Gutter | None:
    """Return the gutter between two columns that holds for most rows; None if the rows are one column."""
    found = [gutter for x in _candidates(rows) for gutter in _gutters(rows, x)]
    found.sort(key=lambda gutter: _worth(rows, gutter), reverse=True)
    for wide in found[:40]:
        left, right = _sides(rows[wide.first : wide.last], wide.x)
        if len(left) < MIN_ROWS or len(right) < MIN_ROWS:
            continue
        gutter = _trimmed(rows, wide)
        left, right = _sides(rows[gutter.first : gutter.last], gutter.x)
        if any(abs(gutter.x - x) < 4 for x in known) or not _is_row_wise(left, right):
            return gutter
    return None


def _worth(rows: list[_Row], gutter: _Gutter) -> float:
    """Return how many rows a gutter parts, less where few texts begin at it: dates at the right of a column do not."""
    _, right = _sides(rows[gutter.first : gutter.last], gutter.x)
    begin = sum(row[0].x0 - gutter.x < INDENT for row in right)
    return (gutter.last - gutter.first) * begin / max(len(right), 1)


def _candidates(rows: Sequence[_Row]) -> list[float]:
    """Return left edges that several segments share: a column's lines begin below each other."""
    edges = sorted(segment.x0 for row in rows for segment in row)
    candidates: list[float] = []
    for edge in edges:
        if candidates and edge - candidates[-1] < 3:
            continue
        if sum(abs(other - edge) < 3 for other in edges) >= MIN_ROWS:
            candidates.append(edge)
    # The leftmost edge has nothing at its left.
    return candidates[1:] if candidates and candidates[0] - edges[0] < 3 else candidates


def _gutters(rows: Sequence[_Row], x: float) -> list[_Gutter]:
    """Return the runs of rows in which no segment crosses `x`."""
    gutters: list[_Gutter] = []
    first = None
    for place, row in enumerate([*rows, None]):
        crossed = row is None or any(segment.x0 < x - 1 and segment.x1 > x + 1 for segment in row)
        if crossed and first is not None:
            gutters.append(_Gutter(x, first, place))
            first = None
        elif not crossed and first is None:
            first = place
    return gutters


def _trimmed(rows: Sequence[_Row], gutter: _Gutter) -> _Gutter:
    """Give rows that reach over only one side, at the top or the bottom, to the rows above or below if they stand apart."""
    first, last = gutter.first, gutter.last
    right = [place for place in range(first, last) if any(segment.x0 >= gutter.x - 1 for segment in rows[place])]
    left = [place for place in range(first, last) if any(segment.x0 < gutter.x - 1 for segment in rows[place])]
    start = max(min(left), min(right))
    while start > first and not _stands_apart(rows[start - 1], rows[start]):
        start -= 1
    return _Gutter(gutter.x, start, last)


def _stands_apart(above: _Row, below: _Row) -> bool:
    """True if the gap between two rows is wider than that between paragraphs, or the upper one is a heading's size."""
    size = max(segment.size for segment in below)
    return below[0].y - above[0].y > 2.6 * size or max(segment.size for segment in above) > 1.5 * size


def _is_row_wise(left: Sequence[_Row], right: Sequence[_Row]) -> bool:
    """True if the rows of both sides belong together: dates or labels beside their texts, or a table."""
    if any(_is_table_head(row, other) for row in left for other in right):
        return True
    if _turns(left, right) >= max(3, 0.5 * min(len(left), len(right))):
        # Written row by row.
        return True
    if _has_heading(left) and _has_heading(right):
        return False
    return _aligned(left, right) or _aligned(right, left)


def _is_table_head(left: _Row, right: _Row) -> bool:
    """True if a row on both sides has only names of columns."""
    if abs(left[0].y - right[0].y) > 0.45 * left[0].size or (_has_heading([left]) and _has_heading([right])):
        return False
    return all(roles_of(segment.text) for segment in (*left, *right))


def _turns(left: Sequence[_Row], right: Sequence[_Row]) -> int:
    """Return how often the file goes from the left to the right side and on to the next row."""
    orders = [
        (segment.spans[0].order, side) for side, rows in enumerate((left, right)) for row in rows for segment in row
    ]
    sides = [side for _, side in sorted(orders)]
    return sum(before == 0 and after == 1 for before, after in pairwise(sides))


def _aligned(side: Sequence[_Row], other: Sequence[_Row]) -> bool:
    """True if nearly all rows of a side, headings aside, have a partner on their baseline."""
    baselines = [row[0].y for row in other]
    rows = [row for row in side if not (len(row) == 1 and heading_of(row[0].text) is not None)]
    near = [min(abs(row[0].y - y) for y in baselines) < 0.45 * row[0].size for row in rows]
    share = sum(near) / len(rows) if rows else 1.0
    return share >= (0.6 if all(_is_note(row) for row in rows) else ALIGNED)


def _has_heading(rows: Sequence[_Row]) -> bool:
    return any(len(row) == 1 and heading_of(row[0].text) is not None for row in rows)


def _is_note(row: _Row) -> bool:
    """True for a date, a place, a section's label: what stands beside an entry rather than in a column of its own."""
    text = " ".join(segment.text for segment in row)
    return only_dates(text) or heading_of(text) is not None or ("@" not in text and len(text.split()) <= 3)


def _block(rows: Sequence[_Row], page: int) -> Block | None:
    """Return the rows as lines."""
    if not rows:
        return None
    left = min(segment.x0 for row in rows for segment in row)
    right = max(segment.x1 for row in rows for segment in row)
    lines: list[Line] = []
    for row in rows:
        spans = tuple(span for segment in row for span in segment.spans)
        size = median([span.style.size for span in spans], 10.0)
        gap = (spans[0].y - lines[-1].spans[-1].y) / max(size, 1.0) if lines else 9.0
        lines.append(Line(spans, page, left, right, gap))
    merged = _merged(lines)
    ends = sorted(line.end for line in merged)
    if len(ends) > 1 and ends[-1] - ends[-2] > 0.02 * (right - left):
        merged = [replace(line, longest=line.end == ends[-1]) for line in merged]
    return Block(tuple(merged), page, left, right)


def _merged(lines: list[Line]) -> list[Line]:
    """Join a bullet that stands on a line of its own with the line after it."""
    merged: list[Line] = []
    for line in lines:
        if merged and merged[-1].text in ("•", "-", "·", "▪", "◦", "○", "●", "■", "*") and merged[-1].x0 < line.x0:
            merged[-1] = replace(line, spans=(*merged[-1].spans, *line.spans), gap=merged[-1].gap)
        else:
            merged.append(line)
    return merged
