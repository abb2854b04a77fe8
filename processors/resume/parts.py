"""Cuts the lines above an entry's text into parts: at gaps, at changes of style, at separators; labels name a part's role."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from processors.resume.dates import without_dates
from processors.resume.document import Cell, Line, Style, TextRun, joined
from processors.resume.text import without_bullet
from processors.resume.vocabulary import VOCABULARY, words

_SEPARATOR = re.compile(r"\s+[-–—―·•∙⋅/:]+\s+|\s*[|│｜¦•]\s*|\s*\t\s*|\s+@\s+|\s*[–—―]\s*(?=[A-Z가-힣])")
_PARENTHESES = re.compile(r"^(?P<out>.+?)\s*[(\[](?P<in>[^()\[\]]{2,60})[)\]]$")
_PLACE_NAMES = frozenset(VOCABULARY["places"]["names"])
_PLACE_CODES = frozenset(VOCABULARY["places"]["codes"])
_KOREAN_PLACE = re.compile(r"^[가-힣]{1,6}(?:특별시|광역시|특별자치시|특별자치도|시|도|군|구|동|읍|면)$")


#: `label: value`.
LABEL = re.compile(r"^\s*(?P<label>[^:：]{1,28}?)\s*[:：]\s*(?P<value>.+)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class HeaderPart:
    """A piece of an entry's header. `role`: named by a label or a table's column, such as `title`; None: to be found out.
    `line` counts the entry's header lines."""

    text: str
    style: Style
    line: int = 0
    role: str | None = None


def label_key(text: str) -> str:
    """Return a label as the vocabulary has it."""
    text = text.lower().strip(" :：*•·-")
    return re.sub(r"\s+", "", text) if re.search(r"[가-힣]", text) else text


@cache
def roles_of(label: str) -> frozenset[str]:
    """Return the roles that a label may name: `기관` is an issuer of a certificate or a place of work."""
    key = label_key(label)
    return frozenset(role for role, labels in VOCABULARY["labels"].items() if key in labels)


def labelled(text: str, roles: Sequence[str]) -> tuple[str, str] | None:
    """Return role and value of `label: value`, if the label names one of the roles; the first of them wins."""
    match = LABEL.match(text)
    if match is None:
        return None
    found = roles_of(match["label"])
    return next(((role, match["value"].strip()) for role in roles if role in found), None)


def parts_of(lines: Sequence[Line], roles: Sequence[str]) -> list[HeaderPart]:
    """Return the parts of an entry's header without its dates. `roles`: those that labels may name, the preferred first."""
    return [part for number, line in enumerate(lines) for part in _parts_of_line(line, number, roles)]


def _parts_of_line(line: Line, number: int, roles: Sequence[str]) -> Iterator[HeaderPart]:
    cells = line.cells
    if len(cells) == 2 and (role := _label_role(cells[0].text, roles)) is not None:
        yield HeaderPart(cells[1].text, cells[1].style, number, role)
        return
    for cell in cells:
        text = without_bullet(cell.text)
        named = labelled(text, roles)
        if named is not None:
            yield HeaderPart(named[1], cell.style, number, named[0])
            continue
        for piece in styled_runs(cell):
            yield from _cut(piece, number, roles)


def _label_role(text: str, roles: Sequence[str]) -> str | None:
    found = roles_of(text)
    return next((role for role in roles if role in found), None)


def styled_runs(cell: Cell) -> Iterator[TextRun]:
    """Yield the runs of one style in a cell. A change within a word or of a comma alone is none."""
    run: list[TextRun] = []
    for span in cell.spans:
        if run and _differ(run[-1], span):
            yield replace(run[0], text=joined(run))
            run = []
        run.append(span)
    if run:
        yield replace(run[0], text=joined(run))


def _differ(before: TextRun, after: TextRun) -> bool:
    a, b = before.style, after.style
    return not a.is_like(b) and bool(re.search(r"\w", before.text)) and bool(re.search(r"\w", after.text))


def _cut(span: TextRun, number: int, roles: Sequence[str]) -> Iterator[HeaderPart]:
    for piece in _SEPARATOR.split(without_dates(without_bullet(span.text))):
        text = re.sub(r"^(?:at|@)\s+", "", piece.strip(" ,;|·•–—-:\t/"))
        for inner in _without_parentheses(text):
            named = labelled(inner, roles)
            if re.search(r"\w", inner):
                yield (
                    HeaderPart(inner, span.style, number)
                    if named is None
                    else HeaderPart(named[1], span.style, number, named[0])
                )


def _without_parentheses(text: str) -> Iterator[str]:
    """Cut off parentheses that hold a place or a kind of employment; others belong to the name."""
    match = _PARENTHESES.match(text)
    if match is not None and (is_noise(match["in"]) or is_place(match["in"])):
        yield match["out"].strip(" ,")
    elif text:
        yield text.strip(" ,")


def is_lone_label(text: str) -> bool:
    """True for a label with nothing behind it, such as `Highlights` above a list."""
    return bool(roles_of(text.rstrip(" :：")) & {"description", "other"})


def is_noise(text: str) -> bool:
    """True for text of no field: a kind of employment, a status, a web address, a duration."""
    lowered = text.lower().strip(" .()[]·,")
    return (
        lowered in words("employment")
        or not re.search(r"[^\W\d_]", lowered)
        or bool(re.match(r"(?:https?://|www\.)|(?:[\w-]{2,}\.)+[a-z]{2,}(?:/\S*)?$", lowered))
        or bool(re.match(r"(?:gpa|cgpa|grade|학점|평점|성적)\b", lowered))
        or bool(re.fullmatch(r"(?:총\s*)?\d+\s*(?:년|개월|명)(?:\s*\d+\s*개월)?", lowered))
    )


def is_place(text: str) -> bool:
    """True if every part between commas is a known place."""
    pieces = _place_pieces(text)
    return bool(pieces) and all(_is_place_piece(piece, alone=len(pieces) == 1) for piece in pieces)


def may_be_place(text: str) -> bool:
    """True if a short text ends in a known place: `Kirkwall, UK`, but also `Acme, Berlin`."""
    pieces = _place_pieces(text)
    return len(pieces) > 1 and len(pieces[0].split()) <= 3 and all(_is_place_piece(piece) for piece in pieces[1:])


def _place_pieces(text: str) -> list[str]:
    return [piece.strip().lower().rstrip(".") for piece in re.split(r"[,/·]", text) if piece.strip()]


def _is_place_piece(piece: str, *, alone: bool = False) -> bool:
    if piece in _PLACE_NAMES or (not alone and re.sub(r"\s*\d{4,5}$", "", piece) in _PLACE_CODES):
        return True
    tokens = piece.split()
    return (
        bool(tokens)
        and all(token in _PLACE_NAMES or _KOREAN_PLACE.match(token) for token in tokens)
        and (len(tokens) > 1 or piece in _PLACE_NAMES)
    )
