"""Finds out which part of an entry is the organisation and which the title: by its words, and by where the section has it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import permutations

from processors.resume.document import Style
from processors.resume.entries import Entry
from processors.resume.parts import HeaderPart, is_noise, is_place, may_be_place
from processors.resume.vocabulary import pattern

_COMMA = re.compile(r"\s*,\s+(?!(?:inc|ltd|llc|co|corp|gmbh|jr|sr|l\.l\.c|ph\.?d|plc|llp)\b)", re.IGNORECASE)
_AT = re.compile(r"\s+(?:at|bei|@)\s+|\s*@\s*", re.IGNORECASE)
_AGENT = re.compile(r"[a-z]{3,}(?:er|or|ist|ian|eur)s?(?:\s+(?:i{1,3}|iv|v|\d))?$", re.IGNORECASE)
_ORDINAL_PENALTY = 0.25


def title_score(text: str) -> float:
    """Return how much a text looks like a position (above 0) or like an organisation (below 0)."""
    head = re.split(r"\s+(?:of|for|in|and|to)\s+|\s*[,(/]", text, maxsplit=1)[0]
    score = _score(head)
    return score if score or head == text else 0.8 * _score(text)


_COMPANY = re.compile(r"\(주\)|㈜|주식회사|유한회사|\b(?:inc|llc|ltd|gmbh|corp|plc|l\.l\.c)\b", re.IGNORECASE)


def _score(text: str) -> float:
    if _COMPANY.search(text):
        return -2.5
    titles, organisations = _last(pattern("titles"), text), _last(pattern("organisations"), text)
    if titles or organisations:
        # English and Korean both put the noun that decides last: Bank Manager, Manager Bank.
        if titles == organisations:
            # 선임연구원 is a title, 한국전자연구원 a place.
            return 1.5 if len(text.split()[-1]) <= 5 else -1.5
        return 2.0 if titles > organisations else -2.0
    if _AGENT.search(text.strip()):
        return 0.7
    return -0.3 if re.search(r"\.(?:com|io|net|org|co|kr|ai)\b|^[A-Z0-9&]{2,6}$", text) else 0.0


def _last(found: re.Pattern[str], text: str) -> int:
    """Return where the last match ends, if at most a short word or a number follows; 0 if nowhere near the end."""
    ends = [match.end() for match in found.finditer(text)]
    if not ends:
        return 0
    korean = re.search(r"[가-힣]$", text.strip())
    near = len(text.rstrip()) - ends[-1] <= (1 if korean else 14)
    return ends[-1] + 1 if near else (0 if korean else 1)


Score = Callable[[str], float]


def assign(entries: Sequence[Entry], score: Score, high: str, low: str, *, low_first: bool) -> list[dict[str, str]]:
    """Return for each entry which text has the role `high` and which the role `low`.

    Args:
        entries: Entries of one section.
        score: Above 0 for a text that is `high`, below for one that is `low`.
        low_first: Which of the two stands first where nothing else says it.
    """
    rows = [_candidates(entry) for entry in entries]
    slots: dict[tuple[object, ...], list[float]] = defaultdict(list)
    for row in rows:
        for place, part in enumerate(row[:4]):
            slots[_slot(place, part.style)].append(score(part.text))
    usual = {slot: sum(scores) / len(scores) for slot, scores in slots.items()}
    return [_pair(entry, row, score, usual, high, low, low_first) for entry, row in zip(entries, rows, strict=True)]


def _slot(place: int, style: Style) -> tuple[object, ...]:
    return (place, style.bold, style.italic, style.size)


def _candidates(entry: Entry) -> list[HeaderPart]:
    parts = [part for part in entry.parts if part.role is None and not is_noise(part.text) and not is_place(part.text)]
    sure = [part for part in parts if not may_be_place(part.text)]
    return [_without_place(part) for part in (sure if len(sure) > 1 else parts)]


def _without_place(part: HeaderPart) -> HeaderPart:
    """Cut a place off the end of a part: `Acme, Berlin, Germany`."""
    text = _before_place(part.text)
    pieces = _COMMA.split(text)
    count = next((count for count in range(1, len(pieces)) if is_place(", ".join(pieces[count:]))), len(pieces))
    return HeaderPart(", ".join(pieces[:count]), part.style, part.line)


def _before_place(text: str) -> str:
    """Cut off a place that no comma precedes: `Acme Inc. Boston, MA`, `가온페이 서울특별시 마포구`."""
    tokens = text.split()
    for place in range(1, len(tokens)):
        rest = " ".join(tokens[place:])
        korean = re.match(r"[가-힣]+(?:특별시|광역시|특별자치시|도)\b", rest)
        if ("," in rest or korean) and is_place(rest) and tokens[place - 1].lower() not in ("of", "in", "at", "the"):
            return " ".join(tokens[:place]).rstrip(" ,")
    return text


def _pair(
    entry: Entry,
    row: list[HeaderPart],
    score: Score,
    usual: dict[tuple[object, ...], float],
    high: str,
    low: str,
    low_first: bool,
) -> dict[str, str]:
    found = {part.role: part.text for part in reversed(entry.parts) if part.role in (high, low)}
    missing = [role for role in (high, low) if role not in found]
    values = [score(part.text) + 0.6 * usual.get(_slot(place, part.style), 0.0) for place, part in enumerate(row[:4])]
    if not missing or not values:
        return {role: text for role, text in found.items() if role}
    made = {role: text for role, text in found.items() if role}
    if len(missing) == 1:
        sign = 1 if missing[0] == high else -1
        best = max(range(len(values)), key=lambda place: sign * values[place] - _ORDINAL_PENALTY * place)
        return made | {missing[0]: row[best].text}
    if len(row) == 1:
        return _split(row[0].text, score, high, low) or {high if values[0] > 0 else low: row[0].text}
    first, second = _best_pair(values, low_first)
    if values[first] > 0 and values[second] > 1 and (cut := _split(row[first].text, score, high, low)) is not None:
        return cut
    return {high: row[first].text, low: row[second].text}


def _best_pair(values: Sequence[float], low_first: bool) -> tuple[int, int]:
    """Return the places of `high` and `low`."""
    pairs = list(permutations(range(len(values)), 2))

    def worth(pair: tuple[int, int]) -> float:
        high, low = pair
        order = 0.1 if (low < high) == low_first else 0.0
        return values[high] - values[low] - _ORDINAL_PENALTY * (high + low) + order

    return max(pairs, key=worth)


def _split(text: str, score: Score, high: str, low: str) -> dict[str, str] | None:
    """Cut `Engineer at Acme` and `Engineer, Acme` in two; None if it is one thing."""
    pieces = _AT.split(text, maxsplit=1)
    if len(pieces) == 2 and all(piece.strip() for piece in pieces):
        return {high: pieces[0].strip(), low: pieces[1].strip()}
    for match in _COMMA.finditer(text):
        before, after = text[: match.start()].strip(), text[match.end() :].strip()
        one, other = score(before), score(after)
        if (one > 0 >= other or one >= 2 > 1 > other) and (other < 0 or not re.search(r"\b(?:and|&)\b", after)):
            return {high: before, low: after}
        if one <= 0 < other:
            return {high: after, low: before}
    return _split_korean(text, score, high, low)


def _split_korean(text: str, score: Score, high: str, low: str) -> dict[str, str] | None:
    """Cut `한빛전자 개발팀 대리` before its team or its title."""
    tokens = text.split()
    if len(tokens) < 2 or not re.search(r"[가-힣]$", text) or score(tokens[-1]) <= 0 or score(tokens[0]) > 0:
        return None
    units, places = pattern("units"), pattern("organisations")
    named = [place for place, token in enumerate(tokens[:-1]) if places.search(token) and score(token) < 0]
    if named and named[-1] > 0 and not any(units.search(token) for token in tokens[1 : named[-1]]):
        return {low: " ".join(tokens[: named[-1] + 1]), high: " ".join(tokens[named[-1] + 1 :])}
    cut = next((place for place, token in enumerate(tokens[1:], 1) if units.search(token)), None)
    if cut is None:
        cut = 2 if tokens[0] in ("(주)", "㈜", "주식회사") and len(tokens) > 2 else 1
        return {low: " ".join(tokens[:cut]), high: " ".join(tokens[cut:])}
    after = [
        token
        for token in tokens[cut:]
        if not units.fullmatch(token) and not re.search(r"(?:팀|부|실|본부|파트|셀)$", token)
    ]
    return {low: " ".join(tokens[:cut]), high: " ".join(after) or tokens[-1]}
