"""When a job must be done, as its Kafka headers tell it to a parent that decodes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from schemas.headers import DEADLINE, JOB
from streams.worker.in_flight import InFlightJob


class HeaderDeadline(NamedTuple):
    """`known` is False for a record without our headers: only its value tells."""

    at: datetime | None
    known: bool


def deadline_from_headers(held: InFlightJob) -> HeaderDeadline:
    """Never raises: headers come from anybody, and one that is no instant is none."""
    given = dict(held.message.headers() or ())
    return HeaderDeadline(_instant(given.get(DEADLINE)), JOB in given)


def header_deadline(held: InFlightJob) -> datetime | None:
    """The deadline, where the headers tell one."""
    return deadline_from_headers(held).at


def _instant(text: bytes | None) -> datetime | None:
    try:
        at = None if text is None else datetime.fromisoformat(text.decode())
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None
