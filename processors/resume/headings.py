"""ResumeSection headings in English and Korean, with the many words that people use for the same section."""

from __future__ import annotations

import re
from enum import StrEnum

from processors.resume.vocabulary import VOCABULARY


class ResumeSection(StrEnum):
    """Sections that the output has fields for; OTHER ends the section before it and is dropped."""

    CONTACT = "contact"
    SUMMARY = "summary"
    EDUCATION = "education"
    EXPERIENCE = "experience"
    PROJECTS = "projects"
    SKILLS = "skills"
    LANGUAGES = "languages"
    CERTIFICATES = "certificates"
    OTHER = "other"


def _key(text: str) -> str:
    """Return a heading without decoration, case and inner spaces of Korean words."""
    text = text.lower().replace("’", "'").replace("résumé", "resume")
    text = re.sub(r"^\s*(?:[ivx]+\.|\d{1,2}[.)]|[①-⑳]|[가-하]\.)\s+", "", text)
    text = re.sub(r"[^\w&/·'\- ]+", " ", text.replace("_", " "))
    text = " ".join(text.strip(" -/·").split())
    if re.search(r"[가-힣]", text) and not re.search(r"[a-z]", text):
        text = text.replace(" ", "")
    return text


_KINDS = {_key(word): ResumeSection(kind) for kind, words in VOCABULARY["headings"].items() for word in words}
#: Words that say a heading joins two sections; the first that has fields decides.
_JOINTS = re.compile(r"\s*(?:&|/|·|,|\band\b| 및 |및(?=[가-힣])|와 |과 |\+|\|)\s*")


def heading_of(text: str) -> ResumeSection | None:
    """Return the section that a line opens; None if it is no heading."""
    text = text.strip()
    if not text or len(text) > 48 or text.endswith((".", ",", ";")) or "@" in text:
        return None
    text = text.rstrip(":： ")
    key = _key(text)
    if key in _KINDS:
        return _KINDS[key]
    spaced = _key(_unspaced(text))
    if spaced in _KINDS:
        return _KINDS[spaced]
    return _bilingual(key) or _joint(text)


def _unspaced(text: str) -> str:
    """Return `S K I L L S` and `경 력` as one word."""
    return text.replace(" ", "") if all(len(word) == 1 for word in text.split()) else text


def _bilingual(key: str) -> ResumeSection | None:
    """`경력 experience`, `experience 경력`."""
    korean = "".join(re.findall(r"[가-힣]+", key))
    english = " ".join(re.findall(r"[a-z&'\-]+", key))
    if korean and english and _KINDS.get(korean) is not None and english in _KINDS:
        return _KINDS[korean]
    return None


def _joint(text: str) -> ResumeSection | None:
    """`Education & Certificates`, `자격증 및 어학`: every part is a heading."""
    lowered = text.lower()
    parts = [part for part in _JOINTS.split(lowered) if part.strip()]
    kinds = [_KINDS.get(_key(part)) for part in parts]
    if len(parts) < 2 or None in kinds:
        return None
    known = [kind for kind in kinds if kind is not None and kind is not ResumeSection.OTHER]
    return known[0] if known else ResumeSection.OTHER
