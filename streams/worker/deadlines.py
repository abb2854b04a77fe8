"""When a job must be done, as its Kafka headers tell it to a parent that decodes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from schemas.headers import DEADLINE, JOB
from streams.worker.ledger import Held


class Told(NamedTuple):
    """`known` is False for a record without our headers: only its value tells."""

    at: datetime | None
    known: bool


def told(held: Held) -> Told:
    """Never raises: headers come from anybody, and one that is no instant is none."""
    given = dict(held.message.headers() or ())
    return Told(_instant(given.get(DEADLINE)), JOB in given)


def by_headers(held: Held) -> datetime | None:
    """The deadline, where the headers tell one."""
    return told(held).at


def _instant(text: bytes | None) -> datetime | None:
    try:
        at = None if text is None else datetime.fromisoformat(text.decode())
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None
