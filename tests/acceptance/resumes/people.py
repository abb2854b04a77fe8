"""The made-up people of the résumés, and which of their fields a document shows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.acceptance.resumes.dates import exact

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Shown:
    """Describes what a layout leaves out. `years`: sections of which only the years are shown."""

    without: frozenset[str] = frozenset()
    years: frozenset[str] = frozenset()
    #: Only the first link is shown.
    one_link: bool = False
    #: The levels of languages are shown.
    levels: bool = True


@dataclass(frozen=True)
class Person:
    """A record of people_en.json or people_ko.json. Dates are yyyy-mm or `present`."""

    id: str
    name: str
    label: str
    email: str
    phone: str
    city: str
    links: list[str]
    summary: str
    #: organisation, title, start, end, lines of the description
    work: list[tuple[str, str, str, str, list[str]]]
    #: institution, degree, field, start, end
    education: list[tuple[str, str, str, str, str]]
    #: name, start, end, description
    projects: list[tuple[str, str, str, str]]
    skills: dict[str, list[str]]
    languages: list[tuple[str, str]]
    #: name, issuer, date
    certificates: list[tuple[str, str, str]]
    korean: bool = False


@cache
def people() -> dict[str, Person]:
    """Return every person by id."""
    return {
        record["id"]: Person(**record, korean=language == "ko")
        for language in ("en", "ko")
        for record in json.loads((HERE / f"people_{language}.json").read_text(encoding="utf-8"))
    }


def truth(person: Person, shown: Shown) -> dict[str, Any]:
    """Return the fields that a document of this person has, in the form of the contract's output."""

    def when(section: str, date: str) -> str | None:
        return exact(date, years_only=section in shown.years)

    fields: dict[str, Any] = {
        "name": person.name,
        "email": person.email,
        "phone": person.phone,
        "links": person.links[:1] if shown.one_link else person.links,
        "summary": person.summary,
        "education": [
            {
                "institution": place,
                "degree": degree,
                "field": subject,
                "start": when("education", start),
                "end": when("education", end),
            }
            for place, degree, subject, start, end in person.education
        ],
        "experience": [
            {
                "organisation": place,
                "title": title,
                "start": when("experience", start),
                "end": when("experience", end),
                "current": end == "present",
                "description": "\n".join(lines),
            }
            for place, title, start, end, lines in person.work
        ],
        "projects": [
            {"name": name, "start": when("projects", start), "end": when("projects", end), "description": text}
            for name, start, end, text in person.projects
        ],
        "skills": [skill for group in person.skills.values() for skill in group],
        "languages": [{"language": name, "level": level if shown.levels else None} for name, level in person.languages],
        "certificates": [
            {"name": name, "issuer": issuer, "date": when("certificates", date)}
            for name, issuer, date in person.certificates
        ],
    }
    return fields | {section: [] for section in shown.without}
