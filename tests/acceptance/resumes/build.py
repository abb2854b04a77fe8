"""Writes the held-out résumés and their truth: `python -m tests.acceptance.resumes.build WORK_FOLDER FONTS_FOLDER CHROMIUM`.

It needs npm (it installs the themes into WORK_FOLDER), Chromium, and Debian's fonts-nanum unpacked in FONTS_FOLDER (with that
folder in Chromium's fontconfig). It was run once, before the extraction was written; the PDFs differ between runs by their
dates, so running it again changes SHA256SUMS.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.acceptance.resumes import docx_layouts, html_layouts, pdf_layouts, themes
from tests.acceptance.resumes.people import HERE, Shown, people, truth
from tests.acceptance.resumes.sheet import Sheet, Style, sheet

DOCUMENTS = HERE / "documents"


@dataclass(frozen=True)
class Own:
    """A document in a layout of `html_layouts` (a page as text) or of the other two (the file's bytes)."""

    layout: Callable[[Sheet], str | bytes]
    person: str
    style: Style


def right_sidebar(content: Sheet) -> str:
    return html_layouts.sidebar(content, right=True)


THEMED = {
    "elegant": ("sample", "farthingale", "pumpernickel", "moonstrider"),
    "stackoverflow": ("sample", "oakenshade", "brightwater", "yunseul"),
    "flat": ("sample", "oakenshade", "brightwater"),
    "macchiato": ("sample", "farthingale", "pumpernickel", "wobblethorpe", "hanyeoreum"),
}
SKILLS_FIRST = ("summary", "skills", "experience", "projects", "education", "certificates", "languages")
SCHOOL_FIRST = ("education", "experience", "certificates", "languages", "skills", "projects", "summary")
INTERESTS = ("Interests", "Bouldering, sourdough and bookbinding")
REFERENCES = ("References", "Available on request")
AWARDS = ("Awards", "Best talk, Northmere Data Days, May 2019")
ARMY = ("병역사항", "육군 병장 만기전역 (2011.05 ~ 2013.02)")
PRIZE = ("수상 내역", "2020년 사내 해커톤 최우수상")
BORN = ("생년월일", "1990.04.15")
KO_DOTS = Style("{y}.{mm}", " ~ ", "현재")
KO_WORDS = Style("{y}년 {m}월", " ~ ", "재직 중", title_first=False)


def _named(style: Style, **headings: str) -> Style:
    return replace(style, headings=headings)


EN_LONG = Style("{month} {y}", " – ")
OWN = (
    Own(right_sidebar, "cobalt",
        _named(Style("{month} {y}", " to ", "today", others=(INTERESTS,)), experience="Work History", summary="Profile")),
    Own(docx_layouts.sidebar, "cobalt", _named(Style("{mm}/{y}", " - ", "now"), experience="Employment")),
    Own(html_layouts.centered, "wobblethorpe",
        Style("{mon} {y}", "–", years=frozenset({"education"}), title_first=False, others=(REFERENCES,))),
    Own(pdf_layouts.touching_columns, "moonstrider", Style("{y}.{mm}", "-", "now")),
    Own(docx_layouts.letterhead, "moonstrider", Style("{mm}/{y}", " – ", "present", order=SCHOOL_FIRST)),
    Own(html_layouts.dates_left, "angermark",
        _named(Style("{y}-{mm}", " – ", "ongoing", others=(AWARDS, INTERESTS)), experience="Professional Experience")),
    Own(docx_layouts.headings, "angermark", _named(replace(EN_LONG, order=SKILLS_FIRST), summary="About me")),
    Own(pdf_layouts.tables, "farthingale",
        _named(Style("{mon}. {y}", " - ", "current", others=(AWARDS,)), experience="Employment History")),
    Own(docx_layouts.tabs, "oakenshade",
        _named(replace(EN_LONG, others=(INTERESTS, REFERENCES)), summary="Objective", skills="Technical Skills")),
    Own(pdf_layouts.two_columns, "brightwater", Style("{mm}/{y}", " – ", others=(AWARDS,))),
    Own(html_layouts.classic, "pumpernickel",
        _named(Style("{mon} '{yy}", " – ", order=SKILLS_FIRST, others=(REFERENCES,)), certificates="Certifications")),
    Own(pdf_layouts.single, "wobblethorpe", Style("{dd} {month} {y}", " – ", "present", order=SCHOOL_FIRST)),
    Own(docx_layouts.tables, "gildong", replace(KO_DOTS, order=SCHOOL_FIRST, personal=(BORN,), others=(ARMY,))),
    Own(html_layouts.classic, "gildong", _named(replace(KO_WORDS, others=(PRIZE,)), experience="경력", education="학력")),
    Own(html_layouts.sidebar, "bada", _named(KO_DOTS, summary="간단 소개", skills="기술 스택")),
    Own(docx_layouts.headings, "bada", _named(KO_WORDS, languages="어학", projects="주요 프로젝트")),
    Own(pdf_layouts.touching_columns, "namgung", _named(Style("{y}.{mm}", "~", "현재"), skills="기술")),
    Own(html_layouts.dates_left, "namgung", Style("{y}/{mm}", " - ", "재직중", order=SKILLS_FIRST, others=(PRIZE,))),
    Own(pdf_layouts.single, "cloud", Style("{y}. {m}.", " ~ ", "현재", title_first=False, others=(ARMY,))),
    Own(docx_layouts.one_table, "cloud",
        _named(replace(KO_DOTS, title_first=False, personal=(BORN,)), experience="경 력", education="학 력")),
    Own(html_layouts.form, "seonu", replace(KO_DOTS, order=SCHOOL_FIRST, personal=(BORN,), others=(PRIZE,))),
    Own(docx_layouts.tabs, "seonu", Style("{y}-{mm}", " ~ ", "현재", title_first=False)),
    Own(pdf_layouts.two_columns, "mulgyeol", _named(Style("{y}.{mm}", " - ", "현재"), summary="소개")),
    Own(docx_layouts.tables, "mulgyeol", replace(KO_WORDS, spaced_name=True, order=SCHOOL_FIRST, others=(ARMY, PRIZE))),
    Own(html_layouts.dates_left, "sonagi", Style("{y}.{mm}.{dd}", " ~ ", "현재", order=SCHOOL_FIRST, personal=(BORN,))),
    Own(docx_layouts.letterhead, "sonagi", _named(replace(KO_DOTS, title_first=False), certificates="자격 및 면허")),
    Own(docx_layouts.sidebar, "yunseul", _named(KO_WORDS, experience="업무 경험")),
    Own(html_layouts.centered, "seoridan", replace(KO_DOTS, title_first=False, years=frozenset({"education"}))),
    Own(pdf_layouts.tables, "seoridan", Style("'{yy}.{mm}", " ~ ", "현재", personal=(BORN,))),
    Own(html_layouts.form, "hanyeoreum", _named(Style("{y}년 {m}월", "~", "현재", others=(ARMY,)), experience="경력 사항")),
)  # fmt: skip


def built(work: Path, chromium: str) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """Yield each document's file name, bytes and truth."""
    themes.install(work)
    for theme, names in THEMED.items():
        shown = themes.SHOWN[theme]
        for name in names:
            if name == "sample":
                resume, fields = themes.sample(work), themes.sample_truth(shown)
                language, also = "en", themes.SAMPLE_ALSO
            else:
                person = people()[name]
                resume, fields = themes.json_resume(person), truth(person, shown)
                language, also = "ko" if person.korean else "en", {"skills": list(person.skills)}
            about = {"kind": f"theme {theme}", "language": language, "also": also}
            yield f"{theme}-{name}.pdf", themes.render(theme, resume, work, chromium), {**about, "fields": fields}
    for own in OWN:
        person = people()[own.person]
        made = own.layout(sheet(person, own.style))
        data = html_layouts.printed(made, work, chromium) if isinstance(made, str) else made
        room = (
            own.layout.__module__.rsplit(".", 1)[1].removesuffix("_layouts")
            if own.layout is not right_sidebar
            else "html"
        )
        fields = truth(person, Shown(years=own.style.years))
        about = {
            "kind": f"{room} {own.layout.__name__}",
            "language": "ko" if person.korean else "en",
            "also": {"skills": list(person.skills)},
        }
        suffix = "docx" if room == "docx" else "pdf"
        yield f"{own.layout.__name__.replace('_', '-')}-{own.person}.{suffix}", data, {**about, "fields": fields}


def main() -> None:
    work, fonts, chromium = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    pdf_layouts.use_fonts(fonts)
    DOCUMENTS.mkdir(exist_ok=True)
    sums = []
    for name, data, about in built(work, chromium):
        file = DOCUMENTS / name
        assert not file.exists(), f"{name} is there already: two documents have one name, or an old set was not deleted"
        text = json.dumps(about, ensure_ascii=False, indent=1) + "\n"
        file.write_bytes(data)
        (DOCUMENTS / f"{name}.json").write_text(text, encoding="utf-8")
        sums += [
            f"{hashlib.sha256(data).hexdigest()}  {name}",
            f"{hashlib.sha256(text.encode()).hexdigest()}  {name}.json",
        ]
    (HERE / "SHA256SUMS").write_text("".join(f"{line}\n" for line in sums))


if __name__ == "__main__":
    main()
