"""What the timekeeper needs of a store: leadership, what is due, and a place to write down that it was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from connectors.payload_store import Payload


@dataclass(frozen=True, slots=True)
class DueRun:
    """A run whose time has come. `kind`: retry, not_before, deadline or cancel. The place is its request's; None if it was
    never told. `reason`: why it is cancelled, as far as it was said."""

    job_id: str
    run: int
    attempt: int
    kind: str
    processor: str
    created_at: datetime
    topic: str | None
    topic_id: bytes | None
    partition: int | None
    offset: int | None
    reason: str = ""


class DoneRow(NamedTuple):
    """What was due. `done`: it is under way again; else it could not be done, and is due again in a minute. The order is
    that of `p` in queries/mark_done.sql."""

    job_id: bytes
    run: int
    attempt: int
    kind: str
    done: bool


class DueStore(Protocol):
    """Used by one thread. Every call raises Unreachable while the store does not answer; leadership is lost then."""

    def lead(self) -> bool:
        """Become the one leader, or stay it. False while somebody else is. A leader that says nothing for six seconds has
        lost it: then it is stopped, hangs, or is cut off."""
        ...

    def keep_leading(self) -> None:
        """A sign of life, for a leader that has something to wait for elsewhere."""
        ...

    def due(self, limit: int) -> list[DueRun]:
        """What is due by the store's clock, the oldest first."""
        ...

    def mark_done(self, rows: Sequence[DoneRow]) -> None:
        """What is done is safely in the log. A run that moved on meanwhile is left as it is."""
        ...

    def open_cancels(self, grace: timedelta, limit: int) -> list[DueRun]:
        """Runs that somebody asked to stop and that are to be ended now: waiting ones, and those that run `grace` after
        the order was heard. At most `limit` orders are looked at; each returned one is not looked at again for ten seconds."""
        ...

    def unsent(self, limit: int) -> list[Payload]:
        """Accepted requests that should have been read from the log by now, and were not. At most `limit` are looked at;
        how long until one is looked at again doubles."""
        ...

    def prune(self, older_than: timedelta, limit: int) -> int:
        """Forget at most `limit` runs that were decided longer ago; how many were forgotten."""
        ...

    def close(self) -> None: ...
