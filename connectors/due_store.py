"""Port of the timekeeper's store: leadership, the work that is due, and marking it as done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from connectors.command_store import CommandRow
from connectors.payload_store import Payload
from connectors.views import OverdueView
from schemas.records import Upload


@dataclass(frozen=True, slots=True)
class DueRun:
    """A run whose due time has passed. `kind`: retry, not_before or deadline (from `due`), cancel (from `open_cancels`), or
    lease (the timekeeper's own, for a lease that is given up). Topic, partition and offset are those of the request, None if
    unknown. `reason`: of the cancel, empty if none was given."""

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
    mode: str = "live"


class DoneRow(NamedTuple):
    """A due run that was handled. `done`: its request was published again; if not, the run is due again in a minute (a run
    that was ended is so too, in case the record that ends it gets lost).
    Fields are in the order of `p` in queries/mark_done.sql."""

    job_id: bytes
    run: int
    attempt: int
    kind: str
    done: bool


class KeptRecords(NamedTuple):
    """A partition of a requests topic, and the first offset that its log still has."""

    topic_id: bytes
    partition: int
    begin: int


class DueStore(Protocol):
    """Used by one thread. Every call raises Unreachable while the store does not answer, and leadership is then lost."""

    def lead(self) -> bool:
        """Become the only leader or stay it; False while another instance leads. A leader that makes no call for six seconds
        (because it is stopped, hangs or is cut off) loses leadership."""
        ...

    def keep_leading(self) -> None:
        """Keep leadership while waiting for something else."""
        ...

    def due(self, limit: int) -> list[DueRun]:
        """Return runs that are due on the store's clock: the oldest first, and of each tenant alike many, so that one
        tenant's many due runs do not keep those of others waiting."""
        ...

    def mark_done(self, rows: Sequence[DoneRow]) -> None:
        """Mark runs as handled, after their records are confirmed in the log. A run that changed meanwhile stays unchanged."""
        ...

    def open_cancels(self, grace: timedelta, limit: int) -> list[DueRun]:
        """Return cancelled runs to end now: waiting ones, and those that still run `grace` after the cancel was
        read. Checks at most `limit` cancels; a returned one is not checked again for ten seconds."""
        ...

    def requests_gone(self, kept: Sequence[KeptRecords], limit: int) -> list[DueRun]:
        """Return open runs none of whose requests is in these logs any more, and that have not changed for a minute.

        Leased runs are left out: their request is in the store.
        """
        ...

    def silent(self, older_than: timedelta, limit: int) -> list[DueRun]:
        """Return open runs without a due time that were requested, and last changed, more than `older_than` ago."""
        ...

    def unsent(self, limit: int) -> list[Payload]:
        """Return accepted requests that the sink has not read from the log in time. Checks at most `limit`; the
        time until a request is checked again doubles."""
        ...

    def unsent_uploads(self, limit: int) -> list[Upload]:
        """Return at most `limit` uploads whose event was not confirmed in time; the time until the next check doubles."""
        ...

    def mark_uploads_published(self, upload_ids: Sequence[str]) -> None:
        """Note that the events of these uploads are in the log."""
        ...

    def expired_uploads(self, limit: int) -> list[tuple[str, list[str]]]:
        """Delete at most `limit` expired uploads in pieces; return their ids, each with the names of its parts' objects."""
        ...

    def end_batches(self, limit: int) -> tuple[int, int]:
        """End batches whose jobs have all ended, each with one delivery if it has a callback URL, in one transaction.

        Looks at no more than `limit` open batches that are due; return how many those were, and how many have ended."""
        ...

    def prune(self, older_than: timedelta, limit: int) -> int:
        """Delete at most `limit` runs whose outcome was stored more than `older_than` ago; return how many were deleted."""
        ...

    def last_commands(self) -> list[CommandRow]:
        """Return the last command to each processor."""
        ...

    def overdue(self, older_than: timedelta) -> list[OverdueView]:
        """Return how many runs have been due for longer than `older_than`, by kind. Needs no leadership."""
        ...

    def close(self) -> None: ...
