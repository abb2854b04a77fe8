"""Finds the lines that open the entries of a section: by labels, by dates, by looks or by gaps."""

from __future__ import annotations

from collections.abc import Sequence

from processors.resume.dates import only_dates, spans_of_time, without_dates
from processors.resume.document import Line
from processors.resume.parts import LABEL, label_key, labelled, roles_of
from processors.resume.text import is_bullet, is_prose, without_bullet

#: Most lines of an entry above the line with its date.
MOST_ABOVE = 3


def starts_of(lines: Sequence[Line]) -> list[int]:
    """Return the places of the lines that open an entry."""
    if not lines:
        return []
    if labels := _labelled_starts(lines):
        return labels
    anchors = _anchors(lines)
    if not anchors:
        return _starts_bylook_of(lines)
    above = _above(lines, anchors[0], 0)
    starts: list[int] = []
    for anchor in anchors:
        start = anchor - _steps_up(lines, anchor, above, anchors[0], starts[-1] if starts else -1)
        if not starts or start > starts[-1]:
            starts.append(start)
    starts[0] = 0 if above == anchors[0] else starts[0]
    return _with_undated(lines, starts)


def _labelled_starts(lines: Sequence[Line]) -> list[int]:
    """Return the places of the label that opens the section, if it comes again: `Company: …`, `Position: …`, `Company: …`."""
    labels = [label_key(match["label"]) if (match := LABEL.match(line.text)) else "" for line in lines]
    if not labels[0] or not roles_of(labels[0]):
        return []
    places = [place for place, label in enumerate(labels) if label == labels[0]]
    return places if len(places) > 1 else []


def _with_undated(lines: Sequence[Line], starts: list[int]) -> list[int]:
    """Add lines that look just like those which open the other entries: entries without a date."""
    looks = {look_of(lines[start]) for start in starts}
    if len(looks) != 1 or not next(iter(looks))[1]:
        return starts
    taken = {place for start in starts for place in (start, start + 1)}
    return sorted(
        {
            *starts,
            *(p for p, line in enumerate(lines) if look_of(line) in looks and p not in taken and not is_bullet(line)),
        }
    )


def look_of(line: Line) -> tuple[float, bool, bool, int]:
    style = line.spans[0].style
    return (style.size, style.bold, style.italic, style.colour)


def _anchors(lines: Sequence[Line]) -> list[int]:
    """Return the places of lines with an entry's date. A second date close below, without text between, is the same entry's."""
    anchors = [place for place, line in enumerate(lines) if has_entry_date(line)]
    if any(_is_range(lines[place]) for place in anchors):
        # Where entries have spans of time, a single date is a detail unless it stands at a gap of its own.
        anchors = [place for place in anchors if _is_range(lines[place]) or _stands_alone(lines, place)]
    merged: list[int] = []
    for place in anchors:
        if not (merged and place == merged[-1] + 1 and _is_second(lines[merged[-1]], lines[place])):
            merged.append(place)
    return merged


def _is_second(above: Line, line: Line) -> bool:
    """True for a start and an end on two lines."""
    if _is_range(above) or _is_range(line):
        return False
    return labelled(line.text, ("start", "end", "period")) is not None or only_dates(line.text)


def _is_range(line: Line) -> bool:
    return any(not when.single for when in spans_of_time(line.text))


def _stands_alone(lines: Sequence[Line], place: int) -> bool:
    return place == 0 or any(only_dates(cell.text) for cell in lines[place].cells) or bool(look_of(lines[place])[1])


def has_entry_date(line: Line) -> bool:
    """True if a line has a date that belongs to an entry's header, not to its text."""
    text = without_bullet(line.text)
    whens = spans_of_time(text)
    if not whens:
        return False
    cells = line.cells
    if any(only_dates(cell.text) for cell in cells) or labelled(text, ("period", "start", "end")):
        return True
    if is_bullet(line) and (is_prose(text) or len(text) > 70):
        return False
    rest = without_dates(text)
    at_edge = whens[0].first < 3 or whens[-1].last >= len(text.rstrip(" )].")) - 1
    return at_edge and len(rest) < 90 and not is_prose(rest)


def _above(lines: Sequence[Line], anchor: int, floor: int) -> int:
    """Return how many lines directly above an anchor can be part of its header."""
    steps = 0
    while steps < MOST_ABOVE and anchor - steps - 1 >= floor and can_be_header(lines[anchor - steps - 1]):
        steps += 1
        if lines[anchor - steps].gap > 9:
            break
    return steps


def _steps_up(lines: Sequence[Line], anchor: int, above: int, first: int, last: int) -> int:
    """Return how many lines above the anchor open its entry: up to a line that looks like the one which opens the first."""
    if above == 0:
        return 0
    opening = lines[first - above]
    for steps in range(min(MOST_ABOVE, anchor - last - 1), 0, -1):
        place = anchor - steps
        fits = look_of(lines[place]) == look_of(opening) and abs(lines[place].x0 - opening.x0) < 3
        known = steps <= above or _stands_out(opening, lines)
        if fits and known and all(can_be_header(line) for line in lines[place:anchor]):
            return steps
    return 0


def _stands_out(opening: Line, lines: Sequence[Line]) -> bool:
    """True if fewer than half of the lines look like this one."""
    return sum(look_of(line) == look_of(opening) for line in lines) < 0.5 * len(lines)


def can_be_header(line: Line) -> bool:
    return not is_bullet(line) and not is_prose(line.text) and len(line.text) < 100


def _starts_bylook_of(lines: Sequence[Line]) -> list[int]:
    """Without dates: a line opens an entry if it looks like the first one and others do not, or if a gap stands above it."""
    first = look_of(lines[0])
    alike = [place for place, line in enumerate(lines) if look_of(line) == first and not is_bullet(line)]
    if 0 < len(alike) < len(lines) and not is_bullet(lines[0]):
        return [place for place in alike if place - 1 not in alike] if first[1] else _gapped(lines, alike)
    return _gapped(lines, list(range(len(lines))))


def _gapped(lines: Sequence[Line], places: Sequence[int]) -> list[int]:
    gaps = sorted(line.gap for line in lines[1:])
    usual = gaps[len(gaps) // 4] if gaps else 0.0
    bullets = any(is_bullet(line) for line in lines)
    return [
        place
        for place in places
        if place == 0
        or lines[place].gap > usual * 1.35
        or (
            bullets
            and not is_bullet(lines[place])
            and is_bullet(lines[place - 1])
            and lines[place].x0 <= lines[0].x0 + 2
        )
    ]
