"""Skills, spoken languages and certificates: sections that are lists."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from processors.resume.contract import Certificate, SpokenLanguage
from processors.resume.dates import spans_of_time, without_dates
from processors.resume.document import Cell, Line, Style
from processors.resume.entries import Entry, entries_of
from processors.resume.parts import is_noise, is_place
from processors.resume.tables import columns_of
from processors.resume.text import is_bullet, paragraphs, right_edges, without_bullet, wraps
from processors.resume.vocabulary import pattern, words

_ITEMS = re.compile(r"\s*[,;、，|│•·∙▪●○◦\t]\s*|\s+[/–—]\s+|\s*[★☆●○■□◆◇⬤]+\s*")
_DOTS = re.compile(r"[●○★☆■□◆◇⬤▮▯▰▱]{2,}|\b\d{1,3}\s?%|\b\d(?:\.\d)?\s*/\s*(?:5|10)\b")
_LEVEL_AFTER = re.compile(r"\s*(?:[(\[](?P<in>[^()\[\]]+)[)\]]|\s[-–—:]\s*(?P<after>[^-–—:]+))\s*$")
_LABEL = re.compile(r"^[^:：,]{1,40}[:：]\s*(?=\S)")
_YEARS = re.compile(
    r"^\s*(?:\d+\+?\s*(?:years?|yrs?|년|개월|months?)(?:\s*(?:이상|of experience|experience))?)\s*$", re.IGNORECASE
)
_CERTIFICATE_ROLES = ("certificate", "issuer", "issued", "other", "description")


def skills_of(lines: Sequence[Line]) -> list[str]:
    """Return single skills without levels and without the names of their groups."""
    found: list[str] = []
    labels = _label_looks(lines)
    rows = [line for line in lines if columns_of(line) is None]
    pending = ""
    for place, line in enumerate(rows):
        text = _row_text(line, rows, place, labels)
        if text is None:
            continue
        if pending and not _goes_on(rows[place - 1], line, rows, pending):
            found += _skills_in(pending)
            pending = ""
        pending = f"{pending} {text}".strip() if pending else text
    found += _skills_in(pending)
    return list(dict.fromkeys(skill for skill in found if skill))


def _goes_on(above: Line, line: Line, rows: Sequence[Line], pending: str) -> bool:
    """True if a list wraps into this line."""
    if is_bullet(line) or len(line.cells_apart(0.8)) > 1 or line.gap > 2.2 or line.style != above.style:
        return False
    if re.search(r"[,/&·|]$|\band$", pending):
        return True
    if not re.search(r"[,·|/•]", pending):
        return False
    column = (line.page, round(line.left))
    wrapped = wraps(above, line, right_edges(rows)[column]) and _LABEL.match(line.text) is None
    return wrapped and (bool(re.search(r"[,·|/•]", line.text)) or len(line.text) < 40)


def _label_looks(lines: Sequence[Line]) -> set[Style]:
    """Return the styles of groups' names: bold or larger cells beside or above lists in another style."""
    heads: Counter[Style] = Counter()
    items: Counter[Style] = Counter()
    for line in lines:
        cells = line.cells_apart(0.8)
        first, rest = cells[0], cells[1:]
        levels = [cell for cell in rest if _is_level(cell.text)]
        for cell in (first, *(cell for cell in rest if cell not in levels)):
            stands_out = cell.style.bold or cell.style.size > _usual(lines)
            (heads if stands_out else items)[cell.style] += 1
        spans = first.spans
        if len(spans) > 1 and spans[0].style != spans[-1].style:
            items[spans[-1].style] += 1
    below = [line for line in lines if line.spans[0].style in items and line.spans[0].style not in heads]
    beside = [cell for line in lines for cell in line.cells_apart(0.8)[1:]]
    if all(map(_is_level, [*(line.text for line in below), *(cell.text for cell in beside)])):
        # A bold skill above or beside its level is no group.
        return set()
    return {style for style in heads if style not in items} if items else set()


def _usual(lines: Sequence[Line]) -> float:
    sizes = sorted(line.style.size for line in lines)
    return sizes[len(sizes) // 2]


def _row_text(line: Line, rows: Sequence[Line], place: int, labels: set[Style]) -> str | None:
    """Return the skills' text of a line, cells separated by tabs; None for a group's name alone."""
    cells = line.cells_apart(0.5)
    texts = []
    for number, cell in enumerate(cells):
        spans = [span for span in cell.spans if span.style not in labels] if labels else list(cell.spans)
        if not spans:
            continue
        text = cell.text if len(spans) == len(cell.spans) else " ".join(span.text for span in spans)
        texts.append(text if number else without_bullet(text))
    if (len(texts) > 1 and not labels and _is_table_of_groups(rows) and not _is_level(texts[1])) or (
        len(cells) == 2 and len(texts) == 2 and _is_group(cells[0], cells[1])
    ):
        texts = texts[1:]
    joined = "\t".join(texts).strip()
    return joined or None


def _is_group(name: Cell, items: Cell) -> bool:
    """True if a cell names the list in the cell beside it."""
    return bool(re.search(r"[,·|]", items.text)) and not re.search(r"[,·|]", name.text)


def _is_table_of_groups(rows: Sequence[Line]) -> bool:
    """True if each row has a short name at the left and a list at the right that begins at one place."""
    pairs = [cells for line in rows if len(cells := line.cells_apart(0.8)) == 2]
    if len(pairs) < 2 or len(pairs) < 0.6 * len(rows):
        return False
    lists = sum(bool(re.search(r"[,·/|]", cells[1].text)) for cells in pairs)
    return lists >= 0.6 * len(pairs) and all(len(cells[0].text) < 40 for cells in pairs)


def _skills_in(text: str) -> Iterator[str]:
    """Yield the skills of a line or a wrapped list."""
    text = without_bullet(text)
    label = _LABEL.match(text)
    if label is not None and not re.match(r"^\s*//", text[label.end() :]):
        text = text[label.end() :]
    text = _outside_parentheses(_DOTS.sub("\t", text))
    pieces = [piece.strip(" .\x00") for piece in _ITEMS.split(text)]
    last = re.fullmatch(r"(?:and\s+|&\s*|및\s+)?(.+?)\s+(?:and|&|및)\s+(.+)", pieces[-1]) if len(pieces) > 1 else None
    if last is not None and len(last[1].split()) <= 2 and len(last[2].split()) <= 2:
        pieces[-1:] = [last[1], last[2]]
    for piece in pieces:
        skill = _plain(re.sub(r"^(?:and|및)\s+", "", piece.replace("\x01", ",")))
        if skill and re.search(r"[^\W\d_]", skill) and not _is_level(skill) and len(skill) <= 80:
            yield skill


def _outside_parentheses(text: str) -> str:
    """Hide commas within parentheses from the split."""
    return re.sub(r"\([^()]*\)", lambda match: match[0].replace(",", "\x01").replace(";", "\x01"), text)


def _plain(skill: str) -> str:
    """Return a skill without its level or years."""
    match = _LEVEL_AFTER.search(skill)
    if match is not None and _is_level(match["in"] or match["after"] or ""):
        skill = skill[: match.start()]
    return skill.strip(" :-–—.")


def _is_level(text: str) -> bool:
    plain = text.lower().strip(" ()[].:-–—")
    return plain in words("levels") or bool(_YEARS.match(plain)) or not re.search(r"[^\W\d_]", plain)


def spoken_of(lines: Sequence[Line]) -> list[SpokenLanguage]:
    """Return the spoken languages of a section; empty if it names none (programming languages)."""
    found: list[list[str]] = []
    for place, line in enumerate(lines):
        if columns_of(line) is not None:
            continue
        above = lines[place - 1].cells_apart(0.6) if place else []
        cells = line.cells_apart(0.6)
        if (
            len(above) == len(cells) > 1
            and all(_LANGUAGE.fullmatch(cell.text) for cell in above)
            and not _names_language(cells)
        ):
            # A row of languages above a row of levels.
            for entry, cell in zip(found[-len(cells) :], cells, strict=True):
                entry[1] = cell.text
            continue
        for cell in cells:
            for number, piece in enumerate(_language_pieces(without_bullet(cell.text))):
                _take_language(piece, found, ", " if number else " ")
    return [SpokenLanguage(name, level.strip(" ,:;-–—/|()·") or None) for name, level in found]


def _names_language(cells: Sequence[Cell]) -> bool:
    return any(_LANGUAGE.match(cell.text) for cell in cells)


def _language_pieces(text: str) -> Iterable[str]:
    pieces = _LANGUAGE_JOINTS.split(_DOTS.sub(" ", text))
    return [piece for piece in pieces if piece.strip()]


def _take_language(piece: str, found: list[list[str]], joint: str) -> None:
    """Add a language, or a level to the language before it. `joint` stands between two pieces of one level."""
    match = _LANGUAGE.match(piece.strip(" ()"))
    if match is not None:
        text = re.sub(r"^\s*(?:language|어)?\s*[:：\-–—(]*\s*|\)\s*$", "", piece.strip(" (")[match.end() :])
        if text.count("(") > text.count(")"):
            text += ")"
        found.append([match["name"], text.strip(" :：-–—")])
    elif found and not found[-1][1]:
        found[-1][1] = piece.strip(" ()-–—:")
    elif found and len(piece) < 60 and not is_noise(piece):
        found[-1][1] += f"{joint}{piece.strip()}"


_NAMES = "|".join(re.escape(name) for name in sorted(words("spoken"), key=len, reverse=True))
_LANGUAGE = re.compile(rf"(?P<name>{_NAMES})(?![\w가-힣])", re.IGNORECASE)
_LANGUAGE_JOINTS = re.compile(
    rf"\s*[;|│•·\t]\s*|\s*,\s*(?![^()]*\))|\s*/\s*(?=(?:{pattern('spoken').pattern}))", re.IGNORECASE
)


def certificates_of(lines: Sequence[Line]) -> list[Certificate]:
    """Return the certificates of a section in its order."""
    entries = entries_of(lines, _CERTIFICATE_ROLES)
    if all(not entry.whens for entry in entries):
        # Without dates each line or bullet is one.
        return [made for line in lines for made in [_certificate(_entry_of(line))] if made is not None]
    return [made for entry in entries for made in [_certificate(entry)] if made is not None]


def _entry_of(line: Line) -> Entry:
    return entries_of([line], _CERTIFICATE_ROLES)[0]


def _certificate(entry: Entry) -> Certificate | None:
    name = next((part.text for part in entry.parts if part.role == "certificate"), None)
    issuer = next((part.text for part in entry.parts if part.role == "issuer"), None)
    free = [p.text for p in entry.parts if p.role is None and not is_noise(p.text) and not is_place(p.text)]
    free += [
        text for text in paragraphs(entry.body) if not spans_of_time(text) and len(text) < 60 and not is_noise(text)
    ][:1]
    free = [re.sub(r"^(?:issued\s+by|by|발급\s*기관)\s*[:：]?\s*", "", text, flags=re.IGNORECASE) for text in free]
    if name is None:
        if not free:
            return None
        name = free.pop(0)
        if issuer is None and not free:
            name, issuer = _cut_issuer(name, dated=bool(entry.whens))
    if issuer is None and free:
        issuer = free[0]
    date = next((when.start or when.end for when in entry.whens), None)
    return Certificate(without_dates(name) or name, issuer, date)


def _cut_issuer(text: str, *, dated: bool) -> tuple[str, str | None]:
    """Cut `Name, Issuer` and `Name (Issuer)`, if the second is one or a date follows."""
    match = re.fullmatch(r"(?P<name>.+?)(?:,\s+|\s*\()(?P<issuer>[^,()]+)\)?", text)
    if match is not None and (dated or pattern("issuers").search(match["issuer"])):
        return match["name"], match["issuer"]
    return text, None
