"""A person's résumé as sections of entries, before any layout: texts, headings and dates are final."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.acceptance.resumes.dates import span, written
from tests.acceptance.resumes.people import Person

ENGLISH = {
    "summary": "Summary",
    "experience": "Experience",
    "education": "Education",
    "projects": "Projects",
    "skills": "Skills",
    "languages": "Languages",
    "certificates": "Certificates",
}
KOREAN = {
    "summary": "자기소개",
    "experience": "경력사항",
    "education": "학력사항",
    "projects": "프로젝트",
    "skills": "보유 기술",
    "languages": "외국어",
    "certificates": "자격증",
}
ORDER = ("summary", "experience", "education", "projects", "skills", "languages", "certificates")
#: In layouts of two columns: the sections of the wide and of the narrow one.
MAIN, SIDE = ("summary", "experience", "education", "projects", "other"), ("skills", "languages", "certificates")


@dataclass(frozen=True)
class Style:
    """Wording of a document. `notation` as in `dates.written`; `year_notation` for sections that show only years."""

    notation: str = "{mon} {y}"
    between: str = " – "
    present: str = "Present"
    years: frozenset[str] = frozenset()
    order: tuple[str, ...] = ORDER
    headings: dict[str, str] = field(default_factory=dict)
    title_first: bool = True
    #: The letters of the name have spaces between them, as in many Korean forms.
    spaced_name: bool = False
    #: Sections that the contract has no field for, at the end: heading and text.
    others: tuple[tuple[str, str], ...] = ()
    #: A personal field that the contract has no field for: label and text.
    personal: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Entry:
    """`first` and `second`: such as the title and the organisation. `cells`: the same by column, for tables."""

    first: str
    second: str
    dates: str
    lines: list[str]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """Either paragraphs (`lines`) or entries."""

    kind: str
    heading: str
    lines: list[str]
    entries: list[Entry]


@dataclass(frozen=True)
class Sheet:
    """All that a layout draws."""

    person: Person
    name: str
    contact: list[tuple[str, str]]
    sections: list[Section]

    def section(self, kind: str) -> Section:
        return next(each for each in self.sections if each.kind == kind)

    def some(self, *kinds: str) -> list[Section]:
        return [each for each in self.sections if each.kind in kinds]


def sheet(person: Person, style: Style) -> Sheet:
    """Return the person's sections in the style's order; those that the person has nothing for are left out."""
    words = {**(KOREAN if person.korean else ENGLISH), **style.headings}
    labels = ("이메일", "연락처", "주소", "링크") if person.korean else ("Email", "Phone", "Location", "Web")
    contact = [(labels[0], person.email), (labels[1], person.phone), (labels[2], person.city)]
    contact += [*style.personal, *((labels[3], link) for link in person.links)]
    sections = [Section(kind, words[kind], _lines(person, kind), _entries(person, kind, style)) for kind in style.order]
    sections += [Section("other", heading, [text], []) for heading, text in style.others]
    name = " ".join(person.name) if style.spaced_name else person.name
    return Sheet(person, name, contact, [each for each in sections if each.lines or each.entries])


def _lines(person: Person, kind: str) -> list[str]:
    if kind == "summary":
        return [person.summary]
    if kind == "skills":
        return [f"{group}: {', '.join(names)}" if group else ", ".join(names) for group, names in person.skills.items()]
    if kind == "languages":
        return [f"{name} ({level})" for name, level in person.languages]
    return []


def _entries(person: Person, kind: str, style: Style) -> list[Entry]:
    notation = "{y}" if kind in style.years else style.notation

    def dates(start: str, end: str) -> str:
        return span(start, end, notation, style.between, style.present)

    if kind == "experience":
        return [
            Entry(*((title, place) if style.title_first else (place, title)), dates(start, end), lines,
                  (dates(start, end), place, title, "\n".join(lines)))
            for place, title, start, end, lines in person.work
        ]  # fmt: skip
    if kind == "education":
        return [
            Entry(place, f"{subject} {degree}" if person.korean else f"{degree} {subject}", dates(start, end), [],
                  (dates(start, end), place, subject, degree))
            for place, degree, subject, start, end in person.education
        ]  # fmt: skip
    if kind == "projects":
        return [
            Entry(name, "", dates(start, end), [text], (dates(start, end), name, text))
            for name, start, end, text in person.projects
        ]
    if kind == "certificates":
        return [
            Entry(name, issuer, written(date, notation, ""), [], (written(date, notation, ""), name, issuer))
            for name, issuer, date in person.certificates
        ]
    return []
