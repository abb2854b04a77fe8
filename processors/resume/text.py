"""Small questions about a line's text: is it a bullet, a sentence, a paragraph's continuation."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from processors.resume.dates import only_dates, spans_of_time
from processors.resume.document import Line, TextRun
from processors.resume.vocabulary import pattern

_BULLETS = "•·▪▫◦○●■□▶►▸▷➤➢→✓✔✗※*∙⁃◆◇★☆❖➔»›⚫"
_BULLET = re.compile(rf"^\s*(?:[{_BULLETS}]+\s*|[-–—―‐−]+\s+|\(?\d{{1,2}}[.)]\s+|[①-⑳]\s*)")
_DASH_BULLET = re.compile(r"^\s*[-–—―‐−]+(?=[^\s\d-])")
#: Korean sentences of résumés end in a verb or its noun form: 했습니다, 개발함, 향상.
_PROSE = re.compile(r"(?:[.!?。]|니다|했다|이다|하였음|했음|하였다|[가-힣]함|[가-힣]음)\s*$")
_ABBREVIATION = re.compile(
    r"(?:\b(?:inc|ltd|co|corp|llc|jr|sr|dr|st|b\.?sc|m\.?sc|ph\.?d|b\.?a|m\.?a|b\.?s|m\.?s|no|dept|univ|bros|[a-z]\.[a-z])\."
    r"|\b[A-Z]\.)\s*$",
    re.IGNORECASE,
)
_HANGUL = re.compile(r"[가-힣]")
_ADDRESS = re.compile(r"(?:https?://|www\.|@)\S*$|^\S+\.[a-z]{2,}/\S*$")
#: A line that can't end here: a span of time without its end, an open parenthesis.
_OPEN = re.compile(
    r"\d\s*[-–—~](?:\s*(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?)?\s*$|\([^()]*$", re.IGNORECASE
)
#: Ends of a line that is not the end of a text.
_UNFINISHED = re.compile(r"(?:[,&/-]|\b(?:and|of|for|the|in|with|to)|및)$")
#: The rest of a span of time, which looks like an item of a list.
_END_OF_SPAN = re.compile(r"[-–—~]\s*\S")
#: Ems below which a column is too narrow for lines that wrap.
_NARROW = 12


def is_bullet(line: Line) -> bool:
    """True if a line begins a list's item."""
    return line.item or bool(_BULLET.match(line.text)) or bool(_DASH_BULLET.match(line.text))


def without_bullet(text: str) -> str:
    """Return a text without the bullet or number in front of it."""
    stripped = _BULLET.sub("", text, count=1)
    return (_DASH_BULLET.sub("", text, count=1) if stripped == text else stripped).strip()


def is_prose(text: str) -> bool:
    """True if a text looks like prose rather than a title: it ends like a sentence or is long."""
    text = text.strip()
    if len(text) > 110:
        return True
    return bool(_PROSE.search(text)) and not _ABBREVIATION.search(text) and len(text) > 14


def paragraphs(lines: Sequence[Line]) -> list[str]:
    """Return lines as paragraphs and bullets: one text each, without bullet characters.

    A line continues the one above if its first word had no room there.
    """
    right = right_edges(lines)
    made: list[str] = []
    above: Line | None = None
    for line in lines:
        text = without_bullet(line.text)
        if not text:
            continue
        if above is not None and made and _continues(above, line, right[_column(above)]):
            made[-1] = f"{made[-1]} {text}"
        else:
            made.append(text)
        above = line
    return made


def right_edges(lines: Sequence[Line]) -> dict[tuple[int, float], float]:
    """Return by page and column where a full line ends: at the column's edge, unless all lines end well before it."""
    edges: dict[tuple[int, float], float] = {}
    for line in lines:
        edges[_column(line)] = max(edges.get(_column(line), 0.0), line.x1)
    for line in lines:
        width, edge = line.right - line.left, edges[_column(line)]
        full = [other for other in lines if _column(other) == _column(line) and _reaches(other, edge)]
        if line.right - edge < 0.15 * width or len(full) < 3:
            edges[_column(line)] = max(edge, line.right)
    return edges


def _reaches(line: Line, edge: float) -> bool:
    width = line.right - line.left
    return edge - line.x1 < 0.06 * width and line.x1 - line.left > 0.3 * width and len(line.text) > 30


def _column(line: Line) -> tuple[int, float]:
    return (line.page, round(line.left))


def wraps(above: Line, line: Line, right: float) -> bool:
    """True if the first word of `line` had no room at the end of `above`. `right`: where a full line ends."""
    first = line.text.split()[0]
    span = line.spans[0]
    width = (span.x1 - span.x0) / max(len(span.text), 1) * len(first)
    if re.match(r"[가-힣]", first):
        # Korean lines break within words.
        width = width / len(first)
    return above.end + 0.25 * above.style.size + width > right


def _continues(above: Line, line: Line, right: float) -> bool:
    """True if `line` is the rest of the paragraph that `above` is in."""
    if is_bullet(line) or not above.style.is_like(line.style):
        return False
    if line.page == above.page and (line.left != above.left or line.gap > 2.2):
        return False
    if line.x0 < above.x0 - 1 and not is_bullet(above) and line.gap > 1.9:
        return False
    return _is_full(above, line, right)


#: Joins two pieces of Korean text, with a blank or without.
Glue = Callable[[str, str], str]


def _is_full(above: Line, line: Line, right: float) -> bool:
    """True if `line` goes on the text of `above`. A column's longest line looks full; only prose is trusted to be."""
    if not wraps(above, line, right):
        return False
    korean = _HANGUL.search(above.text) is not None
    prose = len(above.text) >= (36 if korean else 60) or line.text[0].islower() or _UNFINISHED.search(above.text)
    return not above.longest or bool(prose)


def unwrapped(lines: Sequence[Line], glue: Glue) -> list[Line]:
    """Join lines that wrap within one style, such as a long title in a narrow column."""
    right = right_edges(lines)
    made: list[Line] = []
    for line in lines:
        above = made[-1] if made else None
        if above is not None and _is_end_of_span(above, line):
            # The date at the left wraps beside the entry's text.
            first, *rest = line.spans
            made[-1] = replace(above, spans=(above.spans[0], first, *above.spans[1:]))
            if rest:
                made.append(replace(line, spans=tuple(rest)))
        elif (
            above is not None
            and _is_rest(above, line)
            and (_is_open(above) or _is_full(above, line, right[_column(above)]))
        ):
            made[-1] = replace(above, spans=spans_joined(above.spans, line.spans, glue), longest=line.longest)
        else:
            made.append(line)
    return made


def spans_joined(above: Sequence[TextRun], below: Sequence[TextRun], glue: Glue) -> tuple[TextRun, ...]:
    """Return the spans of a text that wraps: Korean and addresses may wrap within a word."""
    last, first = above[-1], below[0]
    if _HANGUL.search(last.text[-1:]) and _HANGUL.search(first.text[:1]):
        text = glue(last.text, first.text)
    elif _ADDRESS.search(last.text) and " " not in first.text and not _ADDRESS.search(first.text):
        text = last.text + first.text
    else:
        return (*above, *below)
    return (*above[:-1], replace(last, text=text, x1=first.x1), *below[1:])


def _is_end_of_span(above: Line, line: Line) -> bool:
    """True if a span of time at the left of the line above ends at the left of this one."""
    first, below = above.spans[0], line.spans[0]
    open_ = len(above.spans) > 1 and re.search(r"\d\.?\s*[-–—~]\s*$", first.text) is not None
    return open_ and abs(first.x0 - below.x0) < 1.5 and only_dates(f"2000 - {below.text}")


def _is_open(line: Line) -> bool:
    return _OPEN.search(line.text) is not None


def _is_rest(above: Line, line: Line) -> bool:
    last, first = above.spans[-1], line.spans[0]
    if _END_OF_SPAN.match(line.text) and spans_of_time(above.text[-12:]) and only_dates(f"2000 {line.text}"):
        return True
    if line.page != above.page or line.left != above.left or is_bullet(line) or line.gap > 1.75:
        return False
    if len(line.cells) > 1 or len(above.cells) > 1 or line.right - line.left < _NARROW * line.style.size:
        return False
    if " " not in above.text and " " not in line.text and not _ADDRESS.search(above.text):
        return False
    if _is_open(above):
        return abs(line.x0 - above.x0) < 1.5
    if only_dates(above.text) or only_dates(line.text) or (spans_of_time(above.text) and spans_of_time(line.text)):
        return False
    languages = pattern("spoken")
    if languages.match(above.text) and languages.match(line.text):
        return False
    # The second line of a bullet hangs under its text.
    return last.style.is_like(first.style) and (
        abs(line.x0 - above.x0) < 1.5 or (is_bullet(above) and line.x0 > above.x0)
    )
