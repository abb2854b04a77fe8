"""Dates and spans of time in résumés, in the notations that English and Korean documents use, as ISO 8601 (yyyy-mm or yyyy)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan janv", "february feb febr", "march mar mär", "april apr avr", "may mai", "june jun juin",
            "july jul juil",
            "august aug août", "september sept sep", "october oct okt", "november nov", "december dec dez déc",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_SEASONS = "spring|summer|autumn|fall|winter|early|mid|late|q[1-4]|[1-4]q"
_NAME = "|".join(sorted(_MONTHS, key=len, reverse=True))
_YEAR = r"(?:19[5-9]\d|20[0-4]\d)"
_MONTH = r"(?:1[0-2]|0?[1-9])"
_DAY = r"(?:3[01]|[12]\d|0?[1-9])"
#: Each alternative has the groups y and m, with a number of its own.
_NOTATIONS = (
    # 2016년 2월 3일, 2016년 2월, 2016년
    rf"(?P<y1>{_YEAR})\s*년(?:도)?(?:\s*(?P<m1>{_MONTH})\s*월(?:\s*{_DAY}\s*일)?)?",
    # 2016-02-03, 2016.02.03., 2016/2/3
    rf"(?P<y2>{_YEAR})\s?[-./]\s?(?P<m2>{_MONTH})\s?[-./]\s?{_DAY}(?!\d)\.?",
    # 2016-02, 2016.02, 2016. 2., 2016/02
    rf"(?P<y3>{_YEAR})\s?[-./‐‑]\s?(?P<m3>{_MONTH})(?!\d)(?!\.\d)(?:\.(?!\w))?",
    # 3 February 2016, 3rd Feb 2016
    rf"(?:{_DAY}(?:st|nd|rd|th)?\.?\s+(?:of\s+)?)(?P<n4>{_NAME})\.?,?\s+(?P<y4>{_YEAR})",
    # February 3, 2016
    rf"(?P<n5>{_NAME})\.?\s+{_DAY}(?:st|nd|rd|th)?,?\s+(?P<y5>{_YEAR})",
    # February 2016, Feb. 2016, Feb, 2016, Feb-2016, Feb '16
    rf"(?P<n6>{_NAME})\.?\s*[,/\-]?\s*(?:of\s+)?(?P<y6>{_YEAR}|['’‘]\d\d(?!\d))",
    # 2016 Feb, 2016, February
    rf"(?P<y7>{_YEAR})\s*[,/.\-]?\s*(?P<n7>{_NAME})\b\.?(?!\s*{_YEAR})",
    # 03/02/2016 (the month is the one that can be; day first where both can), 02/2016, 02.2016, 02-2016
    rf"(?P<a8>\d\d?)[/.\-](?P<b8>\d\d?)[/.\-](?P<y8>{_YEAR})",
    rf"(?P<m9>{_MONTH})\s?[/.\-]\s?(?P<y9>{_YEAR})",
    # '16.02, ’16년 2월, 16.02 (only with a month)
    rf"['’‘](?P<y10>\d\d)\s?[-./년]\s?(?P<m10>{_MONTH})(?:월)?(?!\d)",
    r"(?<![\d.'’])(?P<y11>[012]\d)[.](?P<m11>0[1-9]|1[0-2])(?![\d.%])",
    # Spring 2016, Q3 2016, 2016
    rf"(?:(?:{_SEASONS})\s+(?:of\s+)?)?(?P<y12>{_YEAR})(?:\s*(?:학년도|년|{_SEASONS})(?![a-z]))?",
)
_DATE = re.compile("|".join(f"(?:(?<![\\w.])|(?<=[가-힣]))(?:{one})(?![\\d])" for one in _NOTATIONS), re.IGNORECASE)
_PRESENT_WORDS = (
    r"present|presently|now|today|current(?:ly)?|ongoing|on-?going|to date|till date|in progress|"
    r"현재까지|현재|재직\s?중|재학\s?중|진행\s?중|근무\s?중|지금|현"
)
_PRESENT = re.compile(rf"(?:the\s+)?(?:{_PRESENT_WORDS})(?![\w])", re.IGNORECASE)
_SEPARATOR = re.compile(
    r"\s*(?:[-–—−‐‑―~∼〜～→]+|\bto\b|\buntil\b|\btill\b|\bthrough\b|\bthru\b|부터|에서|까지)\s*(?:\bto\b\s*)?", re.IGNORECASE
)  # fmt: skip
#: The first part of a span whose year stands only after its end: `Mar – Aug 2016`.
_BARE_MONTH = re.compile(rf"(?<![\w])(?P<n>{_NAME})\.?\s*$", re.IGNORECASE)
#: The end of a span whose year stands only before its start: `2016.03 ~ 08`, `2016년 3월 ~ 8월`.
_END_MONTH = re.compile(rf"(?P<m>{_MONTH})\s*월(?!\w)|(?P<k>0[1-9]|1[0-2])(?![\d./월-])")
_END_YEAR = re.compile(r"(?P<y>\d\d)(?![\d./월])")
_SINCE = re.compile(r"(?:\bsince|\bfrom|\bstarting)\s*:?\s*$", re.IGNORECASE)
_EXPECTED = re.compile(r"expected|anticipated|graduat(?:ing|ion)|졸업\s?예정|예정", re.IGNORECASE)
_DURATION = re.compile(
    r"[(\[]?\s*(?:(?:약|총|about|total)?\s*\d+(?:\.\d+)?\s*\+?\s*(?:years?|yrs?\.?|months?|mos?\.?|weeks?|년차|년|개월|주)\s*(?:,|and)?\s*)+(?:간|차)?\s*[)\]]?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class When:
    """A date or a span of time within a text: from `first` to `last` (excluded). `single`: one date, kept in `start`."""

    start: str | None
    end: str | None
    current: bool
    first: int
    last: int
    single: bool = False


def spans_of_time(text: str) -> list[When]:
    """Return the dates and spans of time in a text, in their order."""
    return list(_found(text))


def _found(text: str) -> Iterator[When]:
    place = 0
    while match := _DATE.search(text, place):
        when = _from(text, match)
        place = max(when.last, match.end())
        yield when


def _from(text: str, match: re.Match[str]) -> When:
    start = _iso(match)
    lead = _bare_start(text[: match.start()], start)
    if lead is not None:
        return When(lead[0], start, False, lead[1], match.end())
    since = _SINCE.search(text[: match.start()])
    first = since.start() if since else match.start()
    separator = _SEPARATOR.match(text, match.end())
    if separator is None:
        return _without_end(text, start, first, match.end(), open_=since is not None)
    again = _SEPARATOR.match(text, separator.end())
    after = again.end() if again and again.end() > separator.end() else separator.end()
    if (present := _PRESENT.match(text, after)) is not None:
        return When(start, None, True, first, _past(text, present.end()))
    if (end := _DATE.match(text, after)) is not None:
        return When(start, _iso(end), False, first, _past(text, end.end()))
    return _short_end(text, start, first, match.end(), after)


def _past(text: str, place: int) -> int:
    """Return where a span ends, with `까지` after it."""
    until = re.compile(r"\s*까지").match(text, place)
    return until.end() if until else place


def _without_end(text: str, start: str, first: int, last: int, *, open_: bool) -> When:
    present = re.compile(rf"\s*[(,]?\s*(?:{_PRESENT_WORDS})\s*\)?(?!\w)", re.IGNORECASE).match(text, last)
    if present is not None:
        return When(start, None, True, first, present.end())
    return When(start, None, True, first, last) if open_ else When(start, None, False, first, last, single=True)


def _short_end(text: str, start: str, first: int, bare: int, after: int) -> When:
    """A span whose end has no year of its own, or no end at all."""
    year = start[:4]
    if len(start) == 7 and (month := _END_MONTH.match(text, after)) is not None:
        number = int(month["m"] or month["k"])
        return When(start, f"{year}-{number:02}", False, first, month.end())
    if len(start) == 4 and (short := _END_YEAR.match(text, after)) is not None and f"{year[:2]}{short['y']}" >= year:
        return When(start, f"{year[:2]}{short['y']}", False, first, short.end())
    rest = text[after:].strip()
    if not rest or rest[0] in "|()·,•" or after == len(text):
        # `2018 –`: still going on.
        return When(start, None, True, first, after)
    return When(start, None, False, first, bare, single=True)


def _bare_start(before: str, end: str) -> tuple[str, int] | None:
    """Return the start of `Mar – Aug 2016` and its place, from the text before `Aug 2016`."""
    trimmed = re.sub(rf"{_SEPARATOR.pattern}$", "", before, flags=re.IGNORECASE)
    if trimmed == before or len(end) < 7:
        return None
    month = _BARE_MONTH.search(trimmed)
    return None if month is None else (f"{end[:4]}-{_MONTHS[month['n'].lower()]:02}", month.start())


def _iso(match: re.Match[str]) -> str:
    groups = {key[0]: value for key, value in match.groupdict().items() if value is not None}
    digits = re.sub(r"\D", "", groups["y"])
    year = digits if len(digits) == 4 else f"{'19' if int(digits) > 60 else '20'}{digits}"
    if "n" in groups:
        return f"{year}-{_MONTHS[groups['n'].lower()]:02}"
    if "a" in groups:
        first, second = int(groups["a"]), int(groups["b"])
        return f"{year}-{first if second > 12 else second:02}" if min(first, second) <= 12 else year
    return f"{year}-{int(groups['m']):02}" if "m" in groups else year


def without_dates(text: str) -> str:
    """Return a text without its dates, spans of time and durations."""
    for when in reversed(spans_of_time(text)):
        text = f"{text[: when.first]} \t {text[when.last :]}"
    text = _DURATION.sub(" ", text)
    text = re.sub(r"[(\[]\s*[)\]]", " ", text)
    return re.sub(r"\s*\t\s*", " \t ", re.sub(r"[ ]+", " ", text)).strip(" \t,|·-–—~:/")


def only_dates(text: str) -> bool:
    """True if a text is a date or a span of time, with a duration at most."""
    if not spans_of_time(text):
        return False
    rest = _PRESENT.sub(" ", _EXPECTED.sub(" ", without_dates(text)))
    return not re.search(r"\w{2,}", rest)
