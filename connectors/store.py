"""What a job store takes, gives and promises: the rows and the port that the sink writes through.

Nothing of a database here; the one on Postgres is `postgres/sink_store.py`. Ids are 16 bytes, JSON is encoded, so that an
implementation hands them on as they are: these rows are made thousands of times a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from schemas.errors import SluiceError

#: Stored in place of a NUL, which the text and jsonb types of Postgres can't hold.
REPLACEMENT = "\ufffd"


class LogPosition(NamedTuple):
    """Where a record lies, by topic id."""

    topic_id: bytes
    partition: int
    offset: int


class RunRow(NamedTuple):
    """What a batch says of one run, its job's part included. The order is that of `r` in queries/store_batch.sql."""

    job_id: bytes
    run: int
    carries_job: bool  # one row a job carries the job's part
    current_run: int
    created_at: datetime
    tenant: str
    processor: str
    input_sha256: str
    external_id: str | None
    case_id: str | None
    upload_id: str | None
    batch_id: str | None
    parent_job_id: str | None
    callback_url: str | None
    labels: bytes | None
    mode: str
    lane: str
    state: str
    attempt: int
    execution: int
    sequence: int
    owner: str | None
    due_in_ms: int | None
    deadline: datetime | None
    not_before: datetime | None  # only of a request that the timekeeper has not released yet
    topic_id: bytes | None  # of the request; with partition and place
    partition: int | None
    offset: int | None
    status: str | None  # from here: the candidate outcome, if there is one
    error_code: str | None
    error_message: str | None
    fingerprint: str | None
    output: bytes | None
    refs: bytes | None
    device: str | None
    device_note: str | None
    model_version: str | None
    started_at: datetime | None
    finished_at: datetime | None
    run_ms: float | None
    won_topic_id: bytes | None
    won_partition: int | None
    won_offset: int | None
    delivery_id: bytes | None
    notifier: bytes | None


class HistoryRow(NamedTuple):
    """One event. `role`: 0 stands by itself; 1, a retry, stands if it moved its run; 2, an end, if it won."""

    job_id: bytes
    topic_id: bytes
    partition: int
    offset: int
    run: int
    attempt: int
    kind: str
    role: int
    at: datetime
    body: bytes | None


class LeaseRow(NamedTuple):
    """What a batch says of a run whose job is claimed by lease. `phase`: requested, retrying or ended; from `lane` on it is
    the request's. `headers`: [[name, text], …] as JSON. The order is that of `l` in queries/store_leases.sql."""

    job_id: bytes
    run: int
    phase: str
    attempt: int
    input_sha256: str
    processor: str
    lane: str | None = None
    key: bytes | None = None
    value: bytes | None = None
    headers: bytes | None = None
    topic_id: bytes | None = None
    partition: int | None = None
    offset: int | None = None


class OffsetRow(NamedTuple):
    """One partition's step from `expected` to `next_offset`. Outcomes before `published` are confirmed in Kafka."""

    group_id: str
    topic_id: bytes
    partition: int
    epoch: int
    expected: int
    next_offset: int
    published: int

    def standing_still(self) -> OffsetRow:
        """The same without a step: only the epoch is compared."""
        return self._replace(next_offset=self.expected)


class ProgressRow(NamedTuple):
    """A sign of life."""

    job_id: bytes
    run: int
    attempt: int
    execution: int
    sequence: int
    owner: str
    stage: str
    percent: float | None
    message: str = ""


class ClaimedOffsets(NamedTuple):
    """A partition as its new owner finds it."""

    next_offset: int
    published: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Stored:
    """`losers`: runs whose candidate did not win. `decided_at`: the database's time."""

    losers: frozenset[tuple[bytes, int]]
    decided_at: datetime


class Fenced(SluiceError):
    """Somebody else has claimed a partition since: nothing was stored."""


class Unstorable(SluiceError):
    """The store can't hold some row of the batch: nothing was stored. Never helped by trying again."""


class SinkStore(Protocol):
    """Used by one thread. Every call raises Unreachable while the store does not answer; nothing is stored then, or (when
    the answer was lost) everything: the offsets tell which."""

    def learn_topics(self, names: Mapping[bytes, str]) -> None:
        """Remember what the topics' ids are called."""
        ...

    def claim(self, group: str, begins: Mapping[tuple[bytes, int], int]) -> dict[tuple[bytes, int], ClaimedOffsets]:
        """Own these partitions from now on, whoever did before; a partition never seen starts at the given offset."""
        ...

    def store(
        self,
        runs: Sequence[RunRow],
        history: Sequence[HistoryRow],
        offsets: Sequence[OffsetRow],
        leases: Sequence[LeaseRow] = (),
    ) -> Stored:
        """All of it or nothing. Runs are sorted by job. Raises Fenced, Unstorable."""
        ...

    def executions(self, runs: Iterable[tuple[bytes, int]]) -> dict[tuple[bytes, int], tuple[int, int]]:
        """Attempt and execution of those of these runs that somebody may claim, holds, or has just finished by lease."""
        ...

    def winners(self, candidates: Mapping[LogPosition, tuple[bytes, int]]) -> set[LogPosition]:
        """Those of the candidates (place to job and run) that are the stored outcome of their run."""
        ...

    def mark_progress(self, rows: Sequence[ProgressRow]) -> set[tuple[bytes, int]]:
        """Move runs to PROCESSING, only ever forward; returns the runs that are known, moved or not."""
        ...

    def close(self) -> None: ...
