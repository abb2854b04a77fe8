"""Port of the audit's reads: for many runs at once what the store holds of each, in pages.

Implementations: `postgres/audit_store.py`, `memory/audit_store.py`. Read only: an audit changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from connectors.sink_store import LogPosition

#: A run: job id (16 bytes) and number.
AuditKey = tuple[bytes, int]


class StoredOutcomeView(NamedTuple):
    """An outcome row. `output`: the JSON text, None if there is none. `place`: of the result that won."""

    status: str
    attempt: int
    error_code: str | None
    output: str | None
    place: LogPosition
    decided_at: datetime


class OutcomeDelivery(NamedTuple):
    """A callback of a run's outcome. `due_at`: of its next try, while it is pending."""

    delivery_id: str
    state: str
    due_at: datetime


class AuditedRun(NamedTuple):
    """Everything that the store holds of a run. Without a row of `jobs`, `runs` or `payloads` their fields are None.

    `callback`: the job's first request names a callback URL. `request_attempt`, `request_place`: of the last request that the
    sink has read, for open runs only; `place` is that of the first one. `lease`: its state. `payload_at`: when the request was
    accepted over HTTP, or stored for a lease (then `check_at` is None).
    """

    job_id: bytes
    run: int
    processor: str | None = None
    tenant: str | None = None
    callback: bool = False
    erased: bool = False
    mode: str | None = None
    state: str | None = None
    attempt: int = 0
    due_at: datetime | None = None
    due_kind: str | None = None
    updated_at: datetime | None = None
    place: LogPosition | None = None
    request_attempt: int | None = None
    request_place: LogPosition | None = None
    outcome: StoredOutcomeView | None = None
    deliveries: Sequence[OutcomeDelivery] = ()
    lease: str | None = None
    payload_at: datetime | None = None
    check_at: datetime | None = None

    @property
    def known(self) -> bool:
        """True if the store knows the run: it has its row or its outcome."""
        return self.state is not None or self.outcome is not None


class ListedRun(NamedTuple):
    """A run by its request. `place`: None if the store does not know it. `decided_at`: None while it is open."""

    job_id: bytes
    run: int
    processor: str
    place: LogPosition | None
    requested_at: datetime
    decided_at: datetime | None


class ReadOffsets(NamedTuple):
    """How far the sink has come in a partition: what it has stored, and whose outcomes are confirmed in Kafka."""

    stored: int
    published: int


class AuditState(NamedTuple):
    """The state that holds for all runs at one moment. `topics`: names by topic id. `offsets`: of the sink's group, by
    topic id and partition. `paused`: processors whose last command is a pause."""

    now: datetime
    database: str
    topics: Mapping[bytes, str]
    offsets: Mapping[tuple[bytes, int], ReadOffsets]
    paused: frozenset[str]


class AuditStore(Protocol):
    """Used by one thread. Raises Unreachable."""

    def state(self, group: str) -> AuditState:
        """Return the state that holds for all runs. `group`: the sink's."""
        ...

    def runs(self, keys: Sequence[AuditKey]) -> list[AuditedRun]:
        """Return one row for each key, in their order, also for runs that the store does not know."""
        ...

    def unrecorded(self, records: Iterable[tuple[bytes, LogPosition]]) -> list[LogPosition]:
        """Return the places of those of these records, given with their jobs, that are not in the history."""
        ...

    def requested(
        self, since: datetime, until: datetime, limit: int, after: tuple[datetime, bytes, int] | None = None
    ) -> list[ListedRun]:
        """Return runs whose request was made in this time (by the clock of its producer), oldest first. `after`: the last one
        of the page before."""
        ...

    def waiting(self, since: datetime, until: datetime, limit: int) -> list[AuditKey]:
        """Return runs that were accepted over HTTP in this time and that the sink has not read from the log yet."""
        ...

    def close(self) -> None: ...
