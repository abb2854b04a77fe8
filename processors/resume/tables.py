"""Tables with a head: joins the lines of each row, and says which column a cell is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from processors.resume.document import Cell, Line, TextRun
from processors.resume.parts import roles_of
from processors.resume.text import Glue, is_bullet, spans_joined, without_bullet, wraps

#: Ems between the lines of one cell and the next row, above which a table is taken to have cells of several lines.
_ROW_GAP = 0.3


@dataclass(frozen=True, slots=True)
class Column:
    """`roles`: all that the column's name may mean."""

    x0: float
    x1: float
    roles: frozenset[str]


def columns_of(line: Line) -> list[Column] | None:
    """Return the columns that a table's head names; None if the line is no such head."""
    cells = line.cells_apart(0.8)
    found = [Column(cell.x0, cell.x1, roles_of(cell.text)) for cell in cells]
    known = sum(bool(column.roles) for column in found)
    return found if known >= 2 and known >= len(found) - 1 else None


def place_of(cell: Cell, columns: Sequence[Column]) -> int:
    """Return the place of the column that a cell stands in: their left edges, right edges or centres are closest."""
    centre = (cell.x0 + cell.x1) / 2

    def distance(place: int) -> float:
        column = columns[place]
        return min(abs(cell.x0 - column.x0), abs(cell.x1 - column.x1), abs(centre - (column.x0 + column.x1) / 2))

    return min(range(len(columns)), key=distance)


def rows_joined(lines: Sequence[Line], glue: Glue) -> list[Line]:
    """Return lines with those of one row of a table joined; lines outside of tables stay as they are."""
    head = next((place for place, line in enumerate(lines) if columns_of(line) is not None), None)
    if head is None:
        return list(lines)
    end = next((p for p, line in enumerate(lines) if p > head and columns_of(line) is not None), len(lines))
    body, columns = lines[head + 1 : end], columns_of(lines[head])
    assert columns is not None
    return [*lines[: head + 1], *_joined(body, columns, glue), *rows_joined(lines[end:], glue)]


def _joined(body: Sequence[Line], columns: Sequence[Column], glue: Glue) -> list[Line]:
    gaps = [line.gap for line in body if line.gap < 9]
    least = min(gaps, default=0.0)
    several = max(gaps, default=0.0) - least > _ROW_GAP
    rows: list[list[Line]] = []
    for line in body:
        if rows and several and line.gap < least + _ROW_GAP and line.page == rows[-1][-1].page:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [row[0] if len(row) == 1 else _row(row, columns, glue) for row in rows]


def _row(row: Sequence[Line], columns: Sequence[Column], glue: Glue) -> Line:
    """Return one line whose cells have the text of all lines; a paragraph of its own begins after a line break."""
    cells: dict[int, list[Cell]] = {}
    for line in row:
        for cell in line.cells_apart(0.8):
            cells.setdefault(place_of(cell, columns), []).append(cell)
    spans = [span for place in sorted(cells) for span in _cell(cells[place], row[0], glue)]
    return replace(row[0], spans=tuple(spans))


def _cell(cells: Sequence[Cell], line: Line, glue: Glue) -> list[TextRun]:
    right = max(cell.x1 for cell in cells)
    text = cells[0].spans
    above = cells[0]
    for cell in cells[1:]:
        below = replace(line, spans=cell.spans)
        if is_bullet(below) or not wraps(replace(line, spans=above.spans), below, right):
            text = (*text[:-1], replace(text[-1], text=text[-1].text + "\n"), *cell.spans)
        else:
            text = spans_joined(text, cell.spans, glue)
        above = cell
    joined = "".join(
        span.text if not place or text[place - 1].text.endswith("\n") else f" {span.text}"
        for place, span in enumerate(text)
    )
    joined = "\n".join(without_bullet(piece) for piece in joined.split("\n"))
    return [replace(cells[0].spans[0], text=joined, x1=right)]
