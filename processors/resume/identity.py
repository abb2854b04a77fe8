"""The person: name, email, phone and links, from the lines before the first heading and the section on contact."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from processors.resume.document import Line, Style
from processors.resume.headings import heading_of
from processors.resume.parts import is_place, label_key, roles_of, styled_runs
from processors.resume.text import without_bullet
from processors.resume.vocabulary import VOCABULARY, pattern, words

#: True if a text of Hangul is a common word, not a name.
IsCommon = Callable[[str], bool]

_EMAIL = re.compile(r"[A-Za-z0-9][\w.+%'-]*\s?@\s?[A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_KOREAN_PHONE = re.compile(
    r"(?<![\d+])(?:01[016789]|02|0[3-6][1-5]|070|050\d)[\s.)-]{0,3}\d{3,4}[\s.-]{0,3}\d{4}(?!\d)"
)
_PHONE = re.compile(
    r"(?<![\w./@-])(?:\+|00)?\(?\d{1,4}\)?(?:[\s.()/-]{0,3}\d{1,5}){2,6}(?:\s*(?:x|ext\.?)\s*\d{1,5})?(?![\w@/])"
)
_URL = re.compile(
    r"(?:https?://|www\.)[^\s,;|•()<>\"']+|(?<![\w@.])(?:[a-z0-9-]{2,}\.)+(?:com|net|org|io|dev|me|kr|co|ai|app|tech|info|eu|uk|de|fr|us|ca|edu|design|page|site|blog|xyz|codes|works|in|example|test)(?:/[^\s,;|•()<>\"']*)?(?![\w@])",
    re.IGNORECASE,
)
_SURNAMES = frozenset(VOCABULARY["surnames"]["korean"])
_NAME_WORD = re.compile(r"^(?:[^\W\d_]+(?:[.'’-][^\W\d_]+)*\.?|[^\W\d_]\.)$")
_PARTICLES = frozenset(VOCABULARY["surnames"]["particles"])
_SUFFIX = re.compile(
    r",?\s+(?:ph\.?d|m\.?d|mba|pmp|jr|sr|cpa|esq|rn|msc|bsc|pe|he|she|they)\.?(?:/\w+)*\s*$|\s*\([^)]*\)\s*$",
    re.IGNORECASE,
)


def email_of(lines: Sequence[Line], links: Iterable[str]) -> str | None:
    """Return the first email address of the lines, else of a link."""
    for line in lines:
        if match := _EMAIL.search(line.text):
            return re.sub(r"\s", "", match[0])
    return next((link[7:].split("?")[0] for link in links if link.lower().startswith("mailto:")), None)


def phone_of(lines: Sequence[Line], links: Iterable[str]) -> str | None:
    """Return the first phone number of the lines, a labelled one before others, else of a link."""
    found: list[tuple[int, str]] = []
    for line in lines:
        for cell in line.cells:
            text = _EMAIL.sub(" ", _URL.sub(" ", cell.text))
            for match in (*_KOREAN_PHONE.finditer(text), *_PHONE.finditer(text)):
                digits = re.sub(r"\D", "", match[0])
                if 8 <= len(digits) <= 15 and not _is_date(match[0]):
                    label = text[: match.start()].rstrip(" :：.").split()
                    found.append((-("phone" in roles_of(label[-1]) if label else False), match[0].strip()))
                    break
    if found:
        return min(found, key=lambda phone: phone[0])[1]
    return next((link[4:] for link in links if link.lower().startswith("tel:")), None)


def _is_date(text: str) -> bool:
    return bool(re.match(r"\s*(?:19|20)\d\d\s*[./-]\s*\d{1,2}\b(?!\d)", text)) or bool(
        re.fullmatch(r"\s*(?:19|20)\d\d\s*[-–./\s]+(?:19|20)\d\d\s*", text)
    )


def links_of(head: Sequence[Line], lines: Sequence[Line], links: Iterable[str]) -> list[str]:
    """Return web addresses as written, then those behind links that the text does not spell out.

    Without http or a path, an address counts only in `head`, the lines about the person: `ASP.NET` is a skill.
    """
    found = [url for line in head for url in _urls(line)]
    found += [url for line in lines for url in _urls(line) if re.search(r"^(?:https?:|www\.)|/", url)]
    made = list(dict.fromkeys(found))
    known = {_bare(link) for link in made}
    for link in links:
        if link.lower().startswith(("http://", "https://")) and _bare(link) not in known:
            made.append(link)
            known.add(_bare(link))
    return made


def _urls(line: Line) -> list[str]:
    return [match[0].rstrip(".,;:)") for match in _URL.finditer(_EMAIL.sub(" ", line.text))]


def _bare(link: str) -> str:
    return re.sub(r"^(?:https?://)?(?:www\.)?", "", link.lower()).rstrip("/")


def name_of(lines: Sequence[Line], rest: Sequence[Line], is_common: IsCommon) -> str | None:
    """Return the person's name: labelled, else the most prominent line at the top that can be one.

    Args:
        lines: Lines before the first heading and of the section on contact.
        rest: All lines of the first page, for documents without anything before their first heading.
        is_common: Says of a text of Hangul that it is a common word.
    """
    for line in (*lines, *rest):
        if (named := _labelled_name(line)) is not None:
            return named
    candidates = _candidates(lines, is_common) or _candidates(rest[:12], is_common)
    return max(candidates, key=lambda found: found[0])[1] if candidates else None


def _labelled_name(line: Line) -> str | None:
    cells = line.cells
    for label, value in pairwise(cells):
        if "name" in roles_of(label.text) and (name := _as_name(value.text)) is not None:
            return name
    match = re.match(r"^(?P<label>[^:：]{1,16}?)\s*[:：]\s*(?P<value>.+)$", without_bullet(cells[0].text))
    if match is not None and label_key(match["label"]) in words_of_names() and (name := _as_name(match["value"])):
        return name
    # A label without a colon: 성명 김 민 수.
    match = re.match(r"^(?:성\s*명|이\s*름)\s+(?P<value>[가-힣](?:\s?[가-힣]){1,4})(?=\s|$|\()", cells[0].text)
    return _as_name(match["value"]) if match is not None else None


def words_of_names() -> frozenset[str]:
    """Return the labels that stand before a name."""
    return frozenset(VOCABULARY["labels"]["name"])


def _as_name(text: str) -> str | None:
    """Return a text as a name: blanks between syllables and anything in parentheses dropped; None if it can't be one."""
    text = re.split(r"\s*[|│/•·]\s*|\s*\(", _SUFFIX.sub("", text))[0].strip(" ,:")
    if re.fullmatch(r"[가-힣](?:\s?[가-힣]){1,4}", text):
        return text.replace(" ", "")
    if match := re.match(r"^([가-힣]{2,4})\s+[A-Z一-鿿]", text):
        return match[1]
    return text if _is_western(text) else None


def _candidates(lines: Sequence[Line], is_common: IsCommon) -> list[tuple[float, str]]:
    """Return names with a weight: size counts most, then how early the line stands."""
    found = []
    for place, line in enumerate(lines[:40]):
        below = lines[place + 1] if place + 1 < len(lines) else None
        for text, style in _texts(line, below):
            name = _candidate(without_bullet(text), is_common)
            if name is not None:
                known = bool(re.search(r"[가-힣]", name))
                found.append((style.size + 1.5 * style.bold - 0.25 * place + (4 if known else 0), name))
    return found


def _texts(line: Line, below: Line | None) -> Iterator[tuple[str, Style]]:
    """Yield the texts that may be a name: a line's cells, their runs of one style, and a word with the one below it."""
    for cell in line.cells:
        yield cell.text, cell.style
        for piece in styled_runs(cell):
            yield piece.text, piece.style
    one_word = below is not None and len(line.text.split()) == len(below.text.split()) == 1
    if below is not None and one_word and below.style.size == line.style.size and below.gap < 1.8:
        yield f"{line.text} {below.text}", line.style


def _candidate(text: str, is_common: IsCommon) -> str | None:
    if "@" in text or re.search(r"\d", text) or heading_of(text) is not None:
        return None
    text = re.sub(
        r"(?:의\s*)?(?:이력서|자기소개서|경력기술서|입사지원서)\s*$|^\s*(?:이력서|지원자)\s*[:|-]?\s*", "", text
    ).strip(" |-·:")
    name = _as_name(text)
    if name is None or name.lower() in words("ignored_names"):
        return None
    if re.search(r"[가-힣]", name):
        surname = name[0] in _SURNAMES or name[:2] in _SURNAMES
        return name if surname and 2 <= len(name) <= 5 and not is_common(name) else None
    return None if pattern("titles").search(name) or is_place(name) or pattern("ignored_names").search(name) else name


def _is_western(text: str) -> bool:
    tokens = text.replace(",", " ").split()
    if not 2 <= len(tokens) <= 5 or len(text) > 42 or text.count(",") > 1:  # more commas separate a list, as of skills
        return False
    return all(
        _NAME_WORD.match(token) and (token[0].isupper() or token.lower() in _PARTICLES) for token in tokens
    ) and any(len(token) > 2 for token in tokens)
