"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import CoercionError, Parameter, Token, convert, validators

#: A longer time from now may be past the last year that a time can have.
LONGEST = timedelta(days=36_500)

Json = Annotated[bool, Parameter(name="--json", help="Print JSON instead of text.")]

#: Days before today, by name.
_DAYS = {"today": 0, "yesterday": 1}

#: Numbers of runs, attempts and rows are 32-bit integers in Postgres.
COUNT = validators.Number(gte=0, lte=2**31 - 1)


def duration(text: str) -> Parameter:
    """Return the parameter of an option that takes a duration; `text` is its help."""
    return Parameter(help=text, metavar="DURATION", converter=_duration)


def moment(text: str, *, name: str | None = None) -> Parameter:
    """Return the parameter of an option that takes a time, or a duration before now; `text` is its help."""
    forms = "As 2026-01-31T18:00:00+00:00, `today 09:00`, or -15m, 2h, 1d ago; UTC unless it says otherwise. Default: no limit."
    return Parameter(name=name, help=f"{text} {forms}", metavar="TIME", converter=_moment, allow_leading_hyphen=True)


def parse_moment(text: str, now: datetime) -> datetime | None:
    """Return the time that a text names, in UTC if it names no zone; None if it is no time."""
    if text == "now":
        return now
    word, _, clock = text.partition(" ")
    if word in _DAYS:
        day = now.astimezone(UTC).date() - timedelta(days=_DAYS[word])
        text = f"{day.isoformat()}T{clock.strip() or '00:00'}"
    try:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        at.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: its offset takes it out of the calendar
        return None
    return at


def _moment(type_: type, tokens: Sequence[Token]) -> datetime:
    now, text = datetime.now(UTC), tokens[0].value.strip()
    at = parse_moment(text, now)
    if at is None:
        try:
            return now - _duration(timedelta, [Token(keyword=tokens[0].keyword, value=text.removeprefix("-"))])
        except ValueError as error:
            raise ValueError(
                f"{text!r} is no time. Write 2026-01-31T18:00:00+00:00, `today 09:00`, `yesterday`, or -15m, 2h, 1d."
            ) from error
    return at


def _duration(type_: type, tokens: Sequence[Token]) -> timedelta:
    try:
        parsed: timedelta = convert(timedelta, tokens)
    except (CoercionError, ValueError) as error:
        raise ValueError(f"{tokens[0].value!r} is not a number with a unit. Write 30s, 5m, 2h or 1d.") from error
    except OverflowError:
        parsed = timedelta.max
    if not timedelta() <= parsed <= LONGEST:
        raise ValueError(f"{tokens[0].value!r} is not between 0 s and {LONGEST.days} d.")
    return parsed
