"""A document's fields: sections first, then each section by its own rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from processors.resume.contract import ResumeOutput
from processors.resume.dates import spans_of_time
from processors.resume.document import Document, Line
from processors.resume.headings import ResumeSection
from processors.resume.identity import email_of, links_of, name_of, phone_of
from processors.resume.lists import certificates_of, skills_of, spoken_of
from processors.resume.sections import Sections, sections_of
from processors.resume.study import education_of
from processors.resume.text import paragraphs
from processors.resume.work import experience_of, projects_of


class Words(Protocol):
    """Questions about Korean words; `names.py` answers them."""

    def is_common(self, text: str) -> bool: ...

    def glue(self, before: str, after: str) -> str: ...


#: Share of Hangul among the letters above which a text is Korean; names of technologies are in Latin letters.
KOREAN_SHARE = 0.2


def fields_of(document: Document, language: str, words: Words) -> ResumeOutput:
    """Return the fields of a document.

    Args:
        document: As a reader made it.
        language: ko, en, or auto to detect it.
        words: What is known of Korean words.
    """
    sections = sections_of(document, words.glue)
    if language == "auto":
        language = language_of(document.lines)
    head = [*sections.header, *sections.of(ResumeSection.CONTACT)]
    first_page = [line for line in document.lines if line.page == 0]
    lines = [
        *head,
        *(line for kind, found in sections.found.items() if kind is not ResumeSection.CONTACT for line in found),
    ]
    made = ResumeOutput(
        name=name_of(head, first_page, words.is_common),
        email=email_of(head, ()) or email_of(lines, document.links),
        phone=phone_of(head, ()) or phone_of([line for line in lines if line.page == 0], document.links),
        links=links_of(head, lines, document.links),
        summary=_summary(sections),
        education=education_of(sections.of(ResumeSection.EDUCATION)),
        experience=experience_of(sections.of(ResumeSection.EXPERIENCE), korean=language == "ko"),
        projects=projects_of(sections.of(ResumeSection.PROJECTS)),
        skills=skills_of(sections.of(ResumeSection.SKILLS) or sections.unnamed),
        languages=spoken_of(sections.of(ResumeSection.LANGUAGES)),
        certificates=certificates_of(sections.of(ResumeSection.CERTIFICATES)),
        language=language,
        warnings=list(document.warnings),
    )
    return _with_programming_languages(made, sections)


def _with_programming_languages(made: ResumeOutput, sections: Sections) -> ResumeOutput:
    """A section `Languages` that names no spoken language has programming languages."""
    lines = sections.of(ResumeSection.LANGUAGES)
    if not lines or made.languages:
        return made
    return replace(made, skills=list(dict.fromkeys([*made.skills, *skills_of(lines)])))


def language_of(lines: Sequence[Line]) -> str:
    """Return ko or en: the language that the lines are in."""
    letters = [letter for line in lines for letter in line.text if letter.isalpha()]
    korean = sum("가" <= letter <= "힣" for letter in letters)
    return "ko" if korean > KOREAN_SHARE * max(len(letters), 1) else "en"


def _summary(sections: Sections) -> str | None:
    """Return the text under a heading such as Profile, else a paragraph before the first heading."""
    texts = paragraphs(sections.of(ResumeSection.SUMMARY))
    if any(_is_prose(text) for text in texts):
        # The person's address may stand under the same heading.
        texts = [text for text in texts if _is_prose(text)]
    if not texts:
        prose = [text for text in paragraphs(sections.header) if _is_prose(text)]
        texts = prose[:3]
    return "\n".join(texts) or None


def _is_prose(text: str) -> bool:
    words = len(text.split())
    contact = "@" in text or re.search(r"\d{3,4}[-. ]\d{4}", text) or "://" in text
    return (
        not contact
        and not spans_of_time(text[:12])
        and (words >= 9 or (words >= 5 and text.endswith((".", "다", "요"))))
    )
