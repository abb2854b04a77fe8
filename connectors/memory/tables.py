"""Rows of the database in memory. Each class mirrors a table in `connectors/postgres/migrations`, as far as it is read.

Ids are 16 bytes, JSON is encoded, `position` stands for the columns topic_id, partition and offset.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from connectors.dead_letter_store import DeadLetterRow
from connectors.sink_store import LogPosition, RunRow
from schemas.records import Upload

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
OPEN = ("PENDING", "PROCESSING", "RETRYING")


@dataclass(slots=True)
class StoredJob:
    """Mirrors `jobs`."""

    job_id: bytes
    created_at: datetime
    current_run: int
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
    callback_progress: bool
    labels: bytes | None
    erased_at: datetime | None = None
    case_sha256: str | None = None


@dataclass(slots=True)
class StoredRun:
    """Mirrors `runs`."""

    job_id: bytes
    run: int
    mode: str
    lane: str
    state: str
    attempt: int
    execution: int
    sequence: int
    owner: str | None
    due_at: datetime | None
    due_kind: str | None
    deadline: datetime | None
    position: LogPosition | None
    requested_at: datetime
    updated_at: datetime
    stage: str | None = None
    percent: float | None = None
    message: str | None = None

    @property
    def rank(self) -> tuple[int, bool, bool]:
        """Order in which runs move, only forward: by attempt, then PENDING < PROCESSING < RETRYING."""
        return (self.attempt, self.state == "RETRYING", self.state != "PENDING")


@dataclass(slots=True)
class StoredOutcome:
    """Mirrors `outcomes`."""

    job_id: bytes
    run: int
    status: str
    attempt: int
    error_code: str | None
    error_message: str | None
    fingerprint: str | None
    output: bytes | None
    refs: bytes | None
    worker_id: str | None
    device: str | None
    device_note: str | None
    model_version: str | None
    model_sha256: str | None
    code_version: str | None
    input_sha256: str | None
    reused_from: str | None
    started_at: datetime | None
    finished_at: datetime | None
    run_ms: float | None
    position: LogPosition
    decided_at: datetime

    @classmethod
    def of(cls, row: RunRow, now: datetime) -> StoredOutcome:
        """Return the outcome of a row that has won."""
        given = {
            **row._asdict(),
            "worker_id": row.owner,
            "input_sha256": row.run_input_sha256,
            "position": LogPosition(row.won_topic_id or b"", row.won_partition or 0, row.won_offset or 0),
            "decided_at": now,
        }
        return cls(**{each.name: given[each.name] for each in fields(cls)})


@dataclass(slots=True)
class StoredHistory:
    """Mirrors `history`."""

    job_id: bytes
    position: LogPosition
    run: int
    attempt: int
    kind: str
    at: datetime
    body: bytes | None


@dataclass(slots=True)
class StoredDeadLetter:
    """Mirrors `dead_letters`. `summary` is None if it was erased."""

    letter: DeadLetterRow
    summary: str | None
    state: str = "open"
    changed_at: datetime | None = None
    changed_by: str | None = None
    note: str | None = None


@dataclass(slots=True)
class StoredTry:
    """Mirrors `delivery_tries`."""

    n: int
    at: datetime
    status: int | None
    ms: float
    error: str | None


@dataclass(slots=True)
class StoredDelivery:
    """Mirrors `deliveries`."""

    delivery_id: bytes
    job_id: bytes
    run: int
    kind: str
    sequence: int
    destination: str
    state: str
    tries: int
    due_at: datetime
    notifier: bytes | None
    tenant: str = ""
    bytes: int = 0
    profile: str | None = None
    body: dict[str, Any] | None = None
    held_until: datetime | None = None
    tries_before: int = 0
    ended_at: datetime | None = None
    created_at: datetime = _LONG_AGO
    try_rows: list[StoredTry] = field(default_factory=list)

    def held(self, now: datetime) -> bool:
        """True while a try of this progress may be in flight."""
        return self.held_until is not None and self.held_until > now


@dataclass(slots=True)
class StoredHealth:
    """Mirrors `destination_hours`."""

    delivered: int = 0
    failed: int = 0
    last_error: str | None = None
    last_error_at: datetime | None = None


@dataclass(slots=True)
class StoredOffset:
    """Mirrors `sink_offsets`."""

    next_offset: int
    published: int
    epoch: int


@dataclass(slots=True)
class StoredCancel:
    """Mirrors `cancels`."""

    job_id: bytes
    run: int
    requested_at: datetime
    requested_by: str
    reason: str
    read_at: datetime
    due_at: datetime
    ended_at: datetime | None = None


@dataclass(slots=True)
class StoredPayload:
    """Mirrors `payloads`: key, value and headers of a request as it is published."""

    job_id: bytes
    run: int
    processor: str
    lane: str
    key: bytes
    value: bytes
    headers: list[tuple[str, str]]
    accepted_at: datetime
    check_at: datetime | None
    tenant: str | None = None
    input_sha256: str | None = None
    batch_id: str | None = None


@dataclass(slots=True)
class StoredLease:
    """Mirrors `leases`: a run to be claimed, held, or settled until the sink reads its result. Lower `rank` is claimed first;
    `crashes` is the column `losses`."""

    job_id: bytes
    run: int
    processor: str
    lane: str
    attempt: int
    rank: datetime
    position: LogPosition | None
    state: str = "waiting"
    execution: int = 1
    crashes: int = 0
    executions: int = 3
    worker: str | None = None
    fence: int | None = None
    renewed_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(slots=True)
class StoredBatch:
    """Mirrors `batches`."""

    batch_id: str
    tenant: str
    processor: str
    total: int
    inputs_sha256: str
    callback_url: str | None
    callback_profile: str | None
    created_at: datetime
    ended_at: datetime | None = None
    check_at: datetime = _LONG_AGO


@dataclass(slots=True)
class StoredUpload:
    """Mirrors `uploads`."""

    upload: Upload
    check_at: datetime | None
