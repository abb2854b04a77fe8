"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import CoercionError, Parameter, Token, convert, validators

#: A longer time from now may be past the last year that a time can have.
LONGEST = timedelta(days=36_500)

Json = Annotated[bool, Parameter(name="--json", help="Print JSON instead of text.")]

#: Numbers of runs, attempts and rows are 32-bit integers in Postgres.
COUNT = validators.Number(gte=0, lte=2**31 - 1)


def duration(text: str) -> Parameter:
    """Return the parameter of an option that takes a duration; `text` is its help."""
    return Parameter(help=text, metavar="DURATION", converter=_duration)


def moment(text: str) -> Parameter:
    """Return the parameter of an option that takes a time, or a duration before now; `text` is its help."""
    forms = "As 2026-01-31T18:00:00+00:00, or 30s, 5m, 2h, 1d ago. Default: no limit."
    return Parameter(help=f"{text} {forms}", metavar="TIME", converter=_moment)


def _moment(type_: type, tokens: Sequence[Token]) -> datetime:
    text = tokens[0].value
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC) - _duration(timedelta, tokens)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


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
