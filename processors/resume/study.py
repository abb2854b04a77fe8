"""Places of study from the section on education."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from processors.resume.contract import Education
from processors.resume.document import Line
from processors.resume.entries import Entry, entries_of
from processors.resume.parts import is_noise, is_place
from processors.resume.vocabulary import VOCABULARY, pattern
from processors.resume.work import span_of

_ROLES = ("institution", "field", "degree", "period", "start", "end", "description", "other")
_COMMA = re.compile(r"\s*,\s+")
_OF = "|".join(VOCABULARY["degrees"]["of"])
#: Abbreviations count only as they are written: `be`, `as` and `ma` are words.
_SHORT = "|".join(VOCABULARY["degrees"]["short"])
_LONG = "|".join(VOCABULARY["degrees"]["long"])
_DEGREE = re.compile(
    rf"(?<![\w.])(?P<degree>(?:(?:bachelor|master|doctor|associate)(?:['’]?s)?(?:\s+degree)?(?:\s+of\s+(?:{_OF})(?!\w))?(?!\w)"
    rf"|(?-i:{_SHORT})\.?(?!\w)|(?:{_LONG})(?!\w))(?:\s*\((?:hons?|honou?rs)\.?\))?(?:\s+(?:degree|hons?|with\s+honou?rs)(?!\w))?)",
    re.IGNORECASE,
)
_KOREAN_DEGREE = re.compile(
    r"^(?:[가-힣·]{0,6}?(?:전문학사|학사|석사|박사)(?:과정|\s*학위)?|석·?박사\s*통합(?:과정)?|고졸|공학사|이학사|문학사)$"
)
_KOREAN_SCHOOL = re.compile(
    r"(?:대학교|대학원|고등학교|전문대학|대학|과학기술원|사관학교|학교|고교|교육원|아카데미|여고|공고|상고|외고|과학고)$"
)
_KOREAN_FIELD = re.compile(r"(?:학과|학부|전공|공학|과|학|계열|디자인|경영|경제)$")
_STATUS = re.compile(r"^\(?(?:졸업|졸업예정|재학|재학중|휴학|휴학중|수료|중퇴|편입|입학|과정|예정|중)\)?$")
#: Universities whose campus is a part of their name, and colleges within a Korean university, which are no institution.
_CAMPUSES = re.compile(rf"(?:{'|'.join(VOCABULARY['degrees']['campuses'])})\b", re.IGNORECASE)
_COLLEGES = frozenset(VOCABULARY["degrees"]["colleges"])


def education_of(lines: Sequence[Line]) -> list[Education]:
    """Return the places of study of a section in its order."""
    made = []
    for entry in entries_of(lines, _ROLES, need=3):
        roles = _roles(entry)
        if not roles:
            continue
        start, end, _ = span_of(entry.whens, single_is_end=True)
        made.append(Education(roles.get("institution"), roles.get("degree"), roles.get("field"), start, end))
    return made


def _roles(entry: Entry) -> dict[str, str]:
    """Return institution, degree and field of an entry, those that it has."""
    roles: dict[str, str] = {}
    for part in entry.parts:
        if part.role in ("institution", "field", "degree"):
            pieces = dict(_pieces(part.text)) if part.role != "institution" else {}
            text = part.text
            if part.role == "degree" and {"degree", "field"} <= pieces.keys():
                roles.setdefault("field", pieces["field"])
                text = pieces["degree"]
            if part.role == "field" and {"degree", "field"} <= pieces.keys():
                roles.setdefault("degree", pieces["degree"])
                text = pieces["field"]
            roles[part.role] = _plain_field(text) if part.role == "field" else text
    rest: list[str] = []
    for part in entry.parts:
        if part.role is None and not is_noise(part.text):
            for role, text in _pieces(part.text):
                if role == "unknown":
                    rest.append(text)
                elif role not in roles:
                    roles[role] = text
    for text in rest:
        if is_place(text):
            continue
        # Without a word that says so: next to an institution the field, else a school with a name of its own.
        missing = next((role for role in ("institution", "field") if role not in roles), None)
        if missing == "institution" and "degree" not in roles and "field" not in roles and len(rest) > 1:
            roles["institution"] = text
        elif missing is not None:
            roles[missing] = text
    return roles


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield role and text of the pieces of a part; the role is `unknown` where no word says it."""
    text = text.strip(" ,")
    if re.search(r"[가-힣]", text):
        yield from _korean_pieces(text)
        return
    degree = _DEGREE.search(text)
    school = pattern("institutions").search(text)
    if school is None and degree is not None:
        yield from _degree_pieces(text, degree)
        return
    pieces = _COMMA.split(text)
    if school is None or len(pieces) == 1:
        yield from _one_piece(text)
        return
    kept: list[str] = []
    for piece in pieces:
        is_school = pattern("institutions").search(piece) is not None
        piece_degree = _DEGREE.match(piece) if not is_school else None
        if piece_degree is not None:
            yield from _degree_pieces(piece, piece_degree)
        elif (
            is_school
            or (kept and not is_place(piece) and not pattern("fields").search(piece))
            or (kept and len(kept) == 1 and _CAMPUSES.match(kept[0]) and len(pieces) == 2)
        ):
            kept.append(piece)
        elif not is_place(piece):
            yield "unknown", piece
    if kept:
        yield "institution", ", ".join(kept)


def _one_piece(text: str) -> Iterator[tuple[str, str]]:
    school = pattern("institutions").search(text)
    degree = _DEGREE.match(text)
    if school is not None and degree is not None and degree.end() < school.start():
        match = re.search(r"\s+(?:at|from)\s+", text, re.IGNORECASE)
        if match is not None:
            yield from _degree_pieces(text[: match.start()], degree)
            yield "institution", text[match.end() :]
            return
        if re.match(r"high\s+school\s+diploma", text, re.IGNORECASE):
            yield "degree", text
            return
    if school is not None:
        yield "institution", text
    elif pattern("fields").search(text):
        yield "field", _plain_field(text)
    else:
        yield "unknown", text


def _degree_pieces(text: str, degree: re.Match[str]) -> Iterator[tuple[str, str]]:
    before, after = text[: degree.start()].strip(" ,(-–—:"), text[degree.end() :].strip(" ,)-–—:")
    after = re.sub(r"^(?:in|of|on|-|–)\s+", "", after, flags=re.IGNORECASE).strip(" ()")
    if re.match(r"of\s", text[degree.end() :].strip(), re.IGNORECASE) and not before:
        # Master of Computer Science: the degree's own name.
        words = after.split(" in ", maxsplit=1)
        yield "degree", f"{degree['degree'].strip()} of {words[0]}"
        if len(words) > 1:
            yield "field", words[1]
        return
    yield "degree", degree["degree"].strip(" ,")
    field, *rest = _COMMA.split(after or before)
    while rest and pattern("fields").search(rest[0]):
        field = f"{field}, {rest.pop(0)}"
    if field and not is_noise(field):
        yield "field", _plain_field(field)
    if rest:
        yield "unknown", ", ".join(rest)


def _korean_pieces(text: str) -> Iterator[tuple[str, str]]:
    """Cut at blanks, commas and parentheses; a school's name may have blanks before the word that ends it."""
    text = re.sub(r"\s+(전공|학위|과정)(?=\s|$|[,)])", r"\1", text)
    tokens = [token for token in re.split(r"[\s,()/]+", text) if token]
    ends = [place for place, token in enumerate(tokens) if _KOREAN_SCHOOL.search(token) and token not in _COLLEGES]
    if ends:
        last = ends[0]
        if last + 1 < len(tokens) and re.search(r"대학원$", tokens[last + 1]):
            last += 1
        yield "institution", " ".join(tokens[: last + 1])
        tokens = tokens[last + 1 :]
    fields = []
    for token in tokens:
        if _KOREAN_DEGREE.match(token):
            yield "degree", token
        elif _STATUS.match(token) or is_noise(token) or re.search(r"대학$", token):
            continue
        elif _DEGREE.fullmatch(token):
            yield "degree", token
        else:
            fields.append(token)
    text = " ".join(fields)
    if text:
        known = ends or _KOREAN_FIELD.search(text) or pattern("fields").search(text)
        yield ("field", _plain_field(text)) if known and not is_place(text) else ("unknown", text)


def _plain_field(text: str) -> str:
    """Return a field of study without the word that says it is one."""
    text = re.sub(r"^(?:major(?:ed)?(?:\s+in)?|field|전공)\s*[:：]?\s+", "", text, flags=re.IGNORECASE)
    plain = re.sub(r"\s*(?:전공|\bmajor)$", "", text, flags=re.IGNORECASE).strip(" ,()")
    return plain or text
