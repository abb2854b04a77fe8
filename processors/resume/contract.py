"""The contract of `resume`: a PDF or DOCX file in, its structured fields out. Imports nothing heavy.

`docs/contracts/resume.schema.json` describes the output as JSON, the form in which it is stored in a jsonb column.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.contract import ProcessorContract
from schemas.records import Claim


@dataclass(frozen=True, slots=True)
class ResumeInput:
    """`document`: a claim check on a PDF or DOCX file; the bytes decide which, not the name or content type."""

    document: Claim
    #: Language of the text: ko, en, or auto to detect it.
    language: str = "auto"


@dataclass(frozen=True, slots=True)
class Education:
    """A place of study. Dates are yyyy-mm or yyyy (ISO 8601), as exact as the document says; a day is dropped."""

    institution: str | None
    #: Degree as written, such as BSc or 학사.
    degree: str | None
    #: Field of study as written.
    field: str | None
    start: str | None
    end: str | None


@dataclass(frozen=True, slots=True)
class Experience:
    """A position. Dates as in `Education`; a position that is still held has no `end` and `current` is true."""

    organisation: str | None
    title: str | None
    start: str | None
    end: str | None
    current: bool
    #: Text below the position, one line a paragraph or bullet, without bullet characters.
    description: str | None


@dataclass(frozen=True, slots=True)
class Project:
    """A project that has an entry of its own. Dates and `description` as in `Experience`."""

    name: str | None
    start: str | None
    end: str | None
    description: str | None


@dataclass(frozen=True, slots=True)
class SpokenLanguage:
    """`level` as written, such as native or 일상 회화."""

    language: str
    level: str | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate or licence. `date`: as in `Education`."""

    name: str
    issuer: str | None
    date: str | None


@dataclass(frozen=True, slots=True)
class ResumeOutput:
    """Fields of a résumé. None or an empty list: the document has none, or none was recognised.

    All texts are as written in the document, with line breaks inside a paragraph replaced by spaces.
    """

    name: str | None
    email: str | None
    phone: str | None
    #: Web addresses of the person, as written; addresses within an entry, such as a company's, may be among them.
    links: list[str]
    summary: str | None
    education: list[Education]
    experience: list[Experience]
    projects: list[Project]
    #: Single skills. Of a group such as "Languages: Python, Go", the skills after the colon.
    skills: list[str]
    languages: list[SpokenLanguage]
    certificates: list[Certificate]
    #: ko or en: the language that the document was read in.
    language: str
    #: Sentences for the reader of the result, such as a page without text. They quote nothing of the document.
    warnings: list[str]


RESUME: ProcessorContract[ResumeInput, ResumeOutput] = ProcessorContract(
    "resume", ResumeInput, ResumeOutput, Path(__file__).parent / "avro"
)
