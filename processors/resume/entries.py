"""Cuts a section into entries. A date marks an entry; styles and the first entry say which lines around it belong to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from processors.resume.dates import When, only_dates, spans_of_time
from processors.resume.document import Line, joined
from processors.resume.parts import (
    HeaderPart,
    is_lone_label,
    is_noise,
    is_place,
    label_key,
    labelled,
    parts_of,
    roles_of,
)
from processors.resume.starts import can_be_header, has_entry_date, look_of, starts_of
from processors.resume.tables import Column, columns_of, place_of
from processors.resume.text import is_bullet, is_prose, without_bullet

#: A line below which only courses and the like stand.
_GRADE = re.compile(r"(?:gpa|cgpa|grade|학점|평점|성적)\b", re.IGNORECASE)


@dataclass(slots=True)
class Entry:
    """`parts`: the header's pieces; `header`: the lines that they are from; `body`: the lines below."""

    parts: list[HeaderPart] = field(default_factory=list)
    whens: list[When] = field(default_factory=list)
    header: list[Line] = field(default_factory=list)
    body: list[Line] = field(default_factory=list)
    #: Text of a table's columns or labels that describe.
    notes: list[str] = field(default_factory=list)


def entries_of(lines: Sequence[Line], roles: Sequence[str], need: int = 2) -> list[Entry]:
    """Return the entries of a section.

    Args:
        lines: The section's.
        roles: Those that labels and table columns may name, the preferred first.
        need: How many parts a whole header has, besides dates and places.
    """
    for place, line in enumerate(lines):
        columns = columns_of(line)
        if columns is not None and not spans_of_time(line.text):
            return entries_of(lines[:place], roles, need) + _of_table(lines[place + 1 :], columns, roles)
    if not lines:
        return []
    starts = sorted({0, *starts_of(lines)})
    groups = [list(lines[a:b]) for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
    return [_entry(group, roles, need) for group in groups]


def _of_table(lines: Sequence[Line], columns: Sequence[Column], roles: Sequence[str]) -> list[Entry]:
    """Return an entry for each row of a table. A row with text in one column alone, and without a date, continues one."""
    names = _column_roles(columns, roles)
    entries: list[Entry] = []
    for place, line in enumerate(lines):
        head = columns_of(line)
        if head is not None and not spans_of_time(line.text):
            return entries + _of_table(lines[place + 1 :], head, roles)
        values: dict[str, str] = {}
        for cell in line.cells_apart(0.8):
            role = names[place_of(cell, columns)]
            text = without_bullet(cell.text)
            values[role] = f"{values[role]} {text}" if role in values else text
        if len(values) == 1 and entries and not any(spans_of_time(text) for text in values.values()):
            entries[-1].body.append(line)
        else:
            entries.append(_row(line, values))
    return entries


def _column_roles(columns: Sequence[Column], roles: Sequence[str]) -> list[str]:
    """Return a role for each column: each role once, the preferred first."""
    names: list[str] = []
    for column in columns:
        found = [role for role in (*roles, "other") if role in column.roles]
        names.append(next((role for role in found if role not in names), "other"))
    return names


_DATED = ("period", "start", "end", "issued")


def _row(line: Line, values: dict[str, str]) -> Entry:
    entry = Entry(header=[line])
    _extend(entry, values)
    return entry


def _extend(entry: Entry, values: dict[str, str]) -> None:
    for role, text in values.items():
        if role in _DATED:
            entry.whens += _when_of(role, text)
        elif role == "description":
            entry.notes += [note.strip() for note in text.split("\n")]
        else:
            for place, part in enumerate(entry.parts):
                if part.role == role:
                    entry.parts[place] = replace(part, text=f"{part.text} {text}")
                    break
            else:
                entry.parts.append(HeaderPart(text, entry.header[0].style, 0, role))


def _when_of(role: str, text: str) -> list[When]:
    found = spans_of_time(text)
    if role == "end":
        return [replace(when, start=None, end=when.start, single=False) if when.single else when for when in found]
    return [replace(when, single=False) if role == "start" and when.single else when for when in found]


def _entry(group: list[Line], roles: Sequence[str], need: int) -> Entry:
    """Return a group of lines as an entry: the lines up to the date and short ones after it are its header."""
    anchor = next((place for place, line in enumerate(group) if has_entry_date(line)), 0)
    end = anchor + 1
    while end < len(group) and end - anchor <= 3 and _goes_on(group, anchor, end, roles, need):
        end += 1
    header, body = group[:end], group[end:]
    entry = Entry(header=header)
    kept: list[Line] = []
    for line in body:
        named = _label_of(line, roles)
        if named is None:
            kept.append(line)
        elif named[0] in _DATED:
            entry.whens += _when_of(*named)
        elif named[0] == "description":
            kept.append(line)
        else:
            entry.parts.append(HeaderPart(named[1], line.style, len(header), named[0]))
    entry.body = kept
    entry.whens = [when for line in header for when in _whens(line)] + entry.whens
    entry.parts = parts_of(header, roles) + entry.parts
    return entry


def _whens(line: Line) -> list[When]:
    named = labelled(line.text, ("start", "end", "period"))
    return _when_of(*named) if named is not None else spans_of_time(line.text)


def _label_of(line: Line, roles: Sequence[str]) -> tuple[str, str] | None:
    """Return role and text of a line `label: value`, or of a label's cell and the cell beside it."""
    named = labelled(without_bullet(line.text), (*_DATED, *roles))
    cells = line.cells
    if named is None and len(cells) == 2 and label_key(cells[0].text):
        found = roles_of(cells[0].text)
        role = next((role for role in (*_DATED, *roles) if role in found), None)
        named = None if role is None else (role, cells[1].text)
    return named


def _goes_on(group: Sequence[Line], anchor: int, place: int, roles: Sequence[str], need: int) -> bool:
    """True if the line at `place`, below the date, is still part of the header."""
    line, before = group[place], group[place - 1]
    named = _label_of(line, roles)
    if named is not None:
        return named[0] != "description"
    study = need > 2 and place == anchor + 1 and len(line.text) < 60
    if (
        not (can_be_header(line) or study)
        or len(line.text) > 80
        or is_lone_label(line.text)
        or _GRADE.match(before.text)
    ):
        return False
    parts = [part for part in parts_of(group[:place], roles) if not is_noise(part.text) and not is_place(part.text)]
    if not parts:
        return True
    if is_noise(line.text) or is_place(line.text):
        return True
    if len(parts) >= need or line.x0 > _text_edge(group[anchor]) + (25 if need > 2 else 4):
        return False
    body = next((after for after in group[place + 1 :] if is_bullet(after) or is_prose(after.text)), None)
    if body is not None and look_of(body) == look_of(line) and abs(body.x0 - line.x0) < 2 and not is_bullet(body):
        return False
    return line.gap < max(2.4, before.gap * 1.6 if before.gap < 3 else 2.4)


def _text_edge(line: Line) -> float:
    """Return where a line's text begins, besides a date at its left."""
    for count in range(len(line.spans) - 1, 0, -1):
        if only_dates(joined(line.spans[:count])):
            return line.spans[count].x0
    return line.x0
