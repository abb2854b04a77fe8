"""Positions and projects from their sections."""

from __future__ import annotations

from collections.abc import Sequence

from processors.resume.contract import Experience, Project
from processors.resume.dates import When
from processors.resume.document import Line
from processors.resume.entries import Entry, entries_of
from processors.resume.parts import is_lone_label, is_noise, is_place, labelled
from processors.resume.roles import assign, title_score
from processors.resume.text import paragraphs

_EXPERIENCE_ROLES = ("organisation", "title", "department", "period", "start", "end", "description", "other")
_PROJECT_ROLES = ("project", "period", "start", "end", "description", "organisation", "title", "other")


def experience_of(lines: Sequence[Line], *, korean: bool) -> list[Experience]:
    """Return the positions of a section in its order."""
    entries = entries_of(lines, _EXPERIENCE_ROLES)
    texts = assign(entries, title_score, "title", "organisation", low_first=korean)
    made: list[Experience] = []
    above: str | None = None
    for entry, roles in zip(entries, texts, strict=True):
        organisation, title = roles.get("organisation"), roles.get("title")
        if not (organisation or title):
            continue
        start, end, current = span_of(entry.whens, single_is_end=False)
        made.append(Experience(organisation or above, title, start, end, current, description_of(entry, roles)))
        above = organisation or above
    return _without_umbrellas(made)


def _without_umbrellas(made: list[Experience]) -> list[Experience]:
    """Drop a line with a company alone if positions in that company follow."""
    kept = []
    for place, position in enumerate(made):
        below = made[place + 1] if place + 1 < len(made) else None
        bare = position.title is None and position.description is None
        if bare and below is not None and below.title and below.organisation == position.organisation:
            continue
        kept.append(position)
    return kept


def projects_of(lines: Sequence[Line]) -> list[Project]:
    """Return the projects of a section in its order."""
    made: list[Project] = []
    for entry in entries_of(lines, _PROJECT_ROLES, need=1):
        named = [part.text for part in entry.parts if part.role == "project"]
        free = [
            part for part in entry.parts if part.role is None and not is_noise(part.text) and not is_place(part.text)
        ]
        name = named[0] if named else free[0].text if free else None
        if name is None:
            continue
        start, end, _ = span_of(entry.whens, single_is_end=False)
        rest = [part.text for part in free if part.line > 0 and part.text != name]
        notes = description_of(entry, {"project": name}, before=rest)
        made.append(Project(name, start, end, notes))
    return made


def span_of(whens: Sequence[When], *, single_is_end: bool) -> tuple[str | None, str | None, bool]:
    """Return start, end and whether it goes on, from the dates of an entry."""
    for when in whens:
        if not when.single and when.start is not None:
            end = when.end or next((other.end for other in whens if other.start is None and other.end), None)
            return when.start, end, when.current and end is None
    ends = [when.end for when in whens if when.start is None and when.end]
    singles = sorted(when.start for when in whens if when.single and when.start)
    if len(singles) > 1:
        return singles[0], singles[1], False
    if singles and ends:
        return singles[0], ends[0], False
    if singles:
        return (None, singles[0], False) if single_is_end else (singles[0], None, False)
    return None, ends[0] if ends else None, False


def description_of(entry: Entry, roles: dict[str, str], before: Sequence[str] = ()) -> str | None:
    """Return the text below an entry's header, one line a paragraph or bullet."""
    body = [line for line in entry.body if not is_lone_label(line.text)]
    texts = [*before, *entry.notes, *map(_without_label, paragraphs(body))]
    return "\n".join(text for text in texts if text) or None


def _without_label(text: str) -> str:
    named = labelled(text, ("description",))
    return text if named is None else named[1]
