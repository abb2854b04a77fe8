"""Port of the sink's store: the rows it takes and what it guarantees.

Implementations: `postgres/sink_store.py`, `memory/sink_store.py`. Ids are 16 bytes and JSON is encoded already, so that an
implementation passes them on unchanged: these rows are made thousands of times a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from connectors.dead_letter_store import DeadLetterRow
from schemas.errors import SluiceError


class LogPosition(NamedTuple):
    """Topic id, partition and offset of a record: the store's form of its coordinates (schemas.records.Coordinates)."""

    topic_id: bytes
    partition: int
    offset: int


class RunRow(NamedTuple):
    """A run in a batch, with the columns of its job. Fields are in the order of `r` in queries/store_batch.sql."""

    job_id: bytes
    run: int
    carries_job: bool  # true in one row per job: only that row stores the columns of the job
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
    callback_profile: str | None
    callback_progress: bool  # its backend is called while it runs, too
    labels: bytes | None
    replay_id: bytes | None  # that the header names; the store knows whether it is true
    mode: str
    lane: str
    state: str
    attempt: int
    execution: int
    sequence: int
    owner: str | None
    due_in_ms: int | None
    deadline: datetime | None
    not_before: datetime | None  # only while the timekeeper has not released the request
    topic_id: bytes | None  # of the request, as are partition and offset
    partition: int | None
    offset: int | None
    status: str | None  # from here on: the candidate outcome, None if there is none
    error_code: str | None
    error_message: str | None
    fingerprint: str | None
    output: bytes | None
    refs: bytes | None
    device: str | None
    device_note: str | None
    model_version: str | None
    model_sha256: str | None
    code_version: str | None
    run_input_sha256: str | None  # of a replay, whose input may have been edited
    reused_from: str | None
    started_at: datetime | None
    finished_at: datetime | None
    run_ms: float | None
    won_topic_id: bytes | None
    won_partition: int | None
    won_offset: int | None
    delivery_id: bytes | None
    notifier: bytes | None


class HistoryRow(NamedTuple):
    """An event of a job. `role`: 0 counts if its job is known; 1 (a retry) if it moved its run; 2 (an end) if it won; 3 always.
    An event that does not count is stored as superseded."""

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
    """A run in a batch whose job is claimed by lease. `phase`: requested, retrying or ended. Fields from `lane` on are those of
    the request. `headers`: [[name, text], …] as JSON. Fields are in the order of `l` in queries/store_leases.sql."""

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
    replay_id: bytes | None = None


class OffsetRow(NamedTuple):
    """The step of one partition from `expected` to `next_offset`. Outcomes before `published` are confirmed in Kafka."""

    group_id: str
    topic_id: bytes
    partition: int
    epoch: int
    expected: int
    next_offset: int
    published: int

    def standing_still(self) -> OffsetRow:
        """Return the same row without a step: storing it only compares the epoch."""
        return self._replace(next_offset=self.expected)


class ProgressRow(NamedTuple):
    """Progress of a run."""

    job_id: bytes
    run: int
    attempt: int
    execution: int
    sequence: int
    owner: str
    stage: str
    percent: float | None
    message: str = ""
    delivery_id: bytes | None = None  # of the run's progress callbacks


class ProgressEnd(NamedTuple):
    """The end of a run with progress callbacks: its deliveries, and the notifier that gets that of the outcome. Fields are in
    the order of `e` in queries/end_progress.sql."""

    outcome_id: bytes
    progress_id: bytes
    notifier: bytes | None


class ClaimedOffsets(NamedTuple):
    """Stored offsets of a partition, as its new owner finds them."""

    next_offset: int
    published: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Stored:
    """Result of a stored batch. `losers`: runs whose candidate did not win. `decided_at`: time of the database.

    `ended_after_progress`: runs with progress callbacks that have ended; their deliveries wait for `end_progress`."""

    losers: frozenset[tuple[bytes, int]]
    decided_at: datetime
    ended_after_progress: frozenset[tuple[bytes, int]] = frozenset()


class Fenced(SluiceError):
    """Another sink has claimed a partition meanwhile. Nothing was stored."""


class Unstorable(SluiceError):
    """The store can't hold a row of the batch. Nothing was stored, and trying again does not help."""


class SinkStore(Protocol):
    """Used by one thread. Every call raises Unreachable while the store does not answer; then nothing was stored, or (if only
    the answer was lost) everything. The stored offsets show which."""

    def learn_topics(self, names: Mapping[bytes, str]) -> None:
        """Store the names of topic ids."""
        ...

    def claim(self, group: str, begins: Mapping[tuple[bytes, int], int]) -> dict[tuple[bytes, int], ClaimedOffsets]:
        """Take these partitions from any previous owner. A partition without a stored offset starts at the given one."""
        ...

    def store(
        self,
        runs: Sequence[RunRow],
        history: Sequence[HistoryRow],
        offsets: Sequence[OffsetRow],
        leases: Sequence[LeaseRow] = (),
        dead_letters: Sequence[DeadLetterRow] = (),
    ) -> Stored:
        """Store everything or nothing. Runs must be sorted by job. Raises Fenced, Unstorable.

        A dead letter that is stored already stays as it is."""
        ...

    def executions(self, runs: Iterable[tuple[bytes, int]]) -> dict[tuple[bytes, int], tuple[int, int]]:
        """Return the attempt and execution of each run that has a lease (claimable, held or just settled)."""
        ...

    def winners(self, candidates: Mapping[LogPosition, tuple[bytes, int]]) -> set[LogPosition]:
        """Return the candidates (log position to job and run) that are the stored outcome of their run."""
        ...

    def mark_progress(self, rows: Sequence[ProgressRow]) -> set[tuple[bytes, int]]:
        """Move runs to PROCESSING, only forward. Returns the known runs, moved or not.

        A run that moved, of a job with progress callbacks, gets a pending delivery with the `delivery_id` of its row."""
        ...

    def end_progress(self, ends: Sequence[ProgressEnd]) -> set[bytes]:
        """End the progress callbacks of runs that have ended. Returns the ids of outcomes' deliveries that their notifiers may
        send at once; the others become due when the try of a progress that is in flight has ended."""
        ...

    def close(self) -> None: ...
