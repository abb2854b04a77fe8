"""Writes a report in Markdown, in the language of the query. Times are shown in Seoul's; everywhere else they are UTC."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone

from processors.research.graph import QuestionFindings

#: Korea has had no summer time since 1988, and Windows has no table of zones.
SEOUL = timezone(timedelta(hours=9), "Asia/Seoul")
_CITATION = re.compile(r"\[(\d{1,3})\]")

_ENGLISH = {
    "method": "Sentences quoted from local documents, chosen by TF-IDF. No language model wrote this.",
    "fallback": "The language model {model} was not used: {reason}",
    "written": "Written by the language model {model}.",
    "nothing": "Nothing about this was found in {count} local documents.",
    "nothing_for": "Nothing about this was found.",
    "no_documents": "There are no local documents to search.",
    "no_sources": "No local document has anything about this: the text is the model's own, without sources.",
    "sources": "Sources",
    "notes": "Notes",
}
_KOREAN = {
    "method": "로컬 문서에서 TF-IDF로 고른 문장을 인용했습니다. 언어 모델이 쓴 글이 아닙니다.",
    "fallback": "언어 모델 {model}을(를) 사용하지 못했습니다: {reason}",
    "written": "언어 모델 {model}이(가) 작성했습니다.",
    "nothing": "로컬 문서 {count}개에서 이에 대한 내용을 찾지 못했습니다.",
    "nothing_for": "이에 대한 내용을 찾지 못했습니다.",
    "no_documents": "검색할 로컬 문서가 없습니다.",
    "no_sources": "로컬 문서에 이에 대한 내용이 없습니다. 아래 글은 출처 없이 모델이 쓴 것입니다.",
    "sources": "출처",
    "notes": "참고",
}
WORDS: Mapping[str, Mapping[str, str]] = {"en": _ENGLISH, "ko": _KOREAN}


def numbers_of(sections: Iterable[QuestionFindings]) -> dict[str, int]:
    """Return the number of each quoted document, in the order of first mention, from 1."""
    names = dict.fromkeys(document for section in sections for document, _ in section["extracts"])
    return {name: number for number, name in enumerate(names, 1)}


def extractive(sections: Sequence[QuestionFindings], words: Mapping[str, str], documents: int) -> str:
    """Return the body of an extractive report: the quotes of each question with their numbers."""
    if not documents:
        return words["no_documents"]
    numbers = numbers_of(sections)
    if not numbers:
        return words["nothing"].format(count=documents)
    parts = []
    for section in sections:
        quotes = [f"- {quote} [{numbers[document]}]" for document, quote in section["extracts"]]
        heading = [f"### {section['question']}", ""] if len(sections) > 1 else []
        parts.append("\n".join([*heading, *(quotes or [words["nothing_for"]])]))
    return "\n\n".join(parts)


def notes_on(text: str, sources: int, *, cut: bool) -> list[str]:
    """Return notes on a text of a model: which numbers it cites that are no source, and whether it was cut."""
    unknown = sorted({number for cited in _CITATION.findall(text) if not 1 <= (number := int(cited)) <= sources})
    numbers = ", ".join(f"[{number}]" for number in unknown)
    return [
        *([f"The model cites {numbers}, which is no source of this run."] if unknown else []),
        *(["The model's text reached its limit and is cut."] if cut else []),
    ]


def whole(
    query: str,
    by: str,
    body: str,
    sources: Sequence[str],
    notes: Sequence[str],
    started_at: str,
    words: Mapping[str, str],
) -> str:
    """Return the report. `by`: how it was made. `sources`: a line each, in the order of their numbers."""
    parts = [f"# {query}", f"_{by}_", body]
    if sources:
        parts.append("\n".join([f"## {words['sources']}", "", *(f"{n}. {line}" for n, line in enumerate(sources, 1))]))
    if notes:
        parts.append("\n".join([f"## {words['notes']}", "", *(f"- {note}" for note in notes)]))
    shown = datetime.fromisoformat(started_at).astimezone(SEOUL)
    return "\n\n".join([*parts, f"{shown:%Y-%m-%d %H:%M} (Asia/Seoul)"]) + "\n"
