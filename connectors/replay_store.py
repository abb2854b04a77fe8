"""Port of replays: a frozen selection of records to publish again, and how far the timekeeper has come with it.

`start` freezes a selection: one `Replay`, and a `ReplayJob` for each record, with the number of the new run. From then on the
leading timekeeper publishes the rows that `due` returns, and marks them. Publishing a row twice makes one run, so any program
may die at any moment. To replay something else than requests (dead letters, say), give `start` rows of another `source`, and
let streams/timekeeper/replays.py know how such a row is published.

Implementations: `postgres/replay_store.py`, `memory/replay_store.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, NamedTuple, Protocol, Self

from connectors.payload_store import Payload
from connectors.sink_store import LogPosition
from schemas.errors import Conflict
from schemas.records import JobHeader

#: States of a replay.
RUNNING, PAUSED, DONE, CANCELLED = "running", "paused", "done", "cancelled"
#: States of its rows.
WAITING, PUBLISHED, PARKED, FAILED = "waiting", "published", "parked", "failed"
#: What a row refers to.
REQUEST, DEAD_LETTER = "request", "dead-letter"
#: Callbacks of the new runs: those of the job, none, or else a URL.
USUAL, NONE = "usual", "none"

#: Bounds of a rate, in rows a second. The stores hold any other to them, so that no replay stops those of others.
SLOWEST, FASTEST = 0.001, 10_000.0

#: Most operations of an edit, and most bytes of its JSON.
MOST_OPERATIONS, LARGEST_EDIT = 100, 64 * 1024

#: States that each action of an operator is for, and the state after it.
ACTIONS = {"pause": ((RUNNING,), PAUSED), "resume": ((PAUSED,), RUNNING), "cancel": ((RUNNING, PAUSED), CANCELLED)}

#: Greatest number of a run: the store's columns hold no greater one.
LAST_RUN = 2**31 - 1

ERASED = "The contents of its case were erased."
OPEN_RUN = "Its run {run} has not ended."
NO_RUN_LEFT = f"Its run {LAST_RUN} has the greatest number that a run can have. Submit its input as another job."
OPEN_REPLAY = "It is in replay {replay_id} already, whose run {run} has not begun."
TOO_OFTEN = "It was replayed {times} times already; the limit is {limit} (SLUICE_REPLAY_LIMIT). --force overrides it."


@dataclass(frozen=True, slots=True)
class ReplayFilter:
    """Which jobs, by their current runs; None: any. `since` and `until`: when the run ended. Matches only runs that have
    ended; `job_ids` also others, which `start` parks with the reason."""

    processor: str | None = None
    states: Sequence[str] | None = None
    error_code: str | None = None
    fingerprint: str | None = None
    model_version: str | None = None
    case_id: str | None = None
    batch_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    job_ids: Sequence[str] | None = None


class ReplaySource(NamedTuple):
    """A record to publish again that was found elsewhere than in the store. `from_run`: the run it asked for. A dead letter
    without `job_id` goes back to where it came from as it was."""

    source: str
    job_id: str | None
    from_run: int | None
    position: LogPosition


Chosen = ReplayFilter | Sequence[ReplaySource]


@dataclass(frozen=True, slots=True)
class NewReplay:
    """A replay to start. `tenant`: only jobs of this tenant are replayed; None: of all. `limit`: replays of one job, beyond
    which its row is parked; None: no limit. `at_most`: rows, the first ones of the selection; None: all."""

    replay_id: str
    requested_by: str
    reason: str
    selection: dict[str, Any] = field(default_factory=dict)
    tenant: str | None = None
    mode: str = "replay"
    to_version: str | None = None
    callbacks: str = USUAL
    edit: list[dict[str, Any]] | None = None
    deadline_s: float | None = None
    rate: float | None = None
    limit: int | None = None
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay, with the numbers of its rows by state; `total` has the waiting ones, too."""

    replay_id: str
    state: str
    mode: str
    to_version: str | None
    tenant: str | None
    selection: dict[str, Any]
    requested_by: str
    reason: str
    callbacks: str
    edit: list[dict[str, Any]] | None
    deadline_s: float | None
    rate: float | None
    total: int
    published: int
    parked: int
    failed: int
    created_at: datetime
    ended_at: datetime | None

    @property
    def waiting(self) -> int:
        return self.total - self.published - self.parked - self.failed


@dataclass(frozen=True, slots=True)
class JobFields:
    """Fields of a job as the store has them: those of its first request."""

    tenant: str
    created_at: datetime
    external_id: str | None
    case_id: str | None
    upload_id: str | None
    batch_id: str | None
    parent_job_id: str | None
    callback_url: str | None
    callback_profile: str | None
    labels: dict[str, str] | None

    def header(self, job_id: str, processor: str) -> JobHeader:
        """Return a header of the job, with no hash of an input."""
        stored = {**asdict(self), "labels": self.labels or {}}
        return JobHeader(job_id=job_id, processor=processor, input_sha256="", **stored)


JOB_FIELDS = tuple(each.name for each in fields(JobFields))


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """A row of a replay. `processor`: of its job; None if the store does not know the job. `topic`, `topic_id`, `partition`,
    `offset`: the record to read again; None: it is in `payloads`. `run`: of the new run; None if the row never waited.
    `stored`: fields of its job; None if the store does not know the job. `sample` leaves them out."""

    n: int
    source: str
    job_id: str | None
    processor: str | None
    from_run: int | None
    run: int | None
    topic: str | None
    topic_id: bytes | None
    partition: int | None
    offset: int | None
    state: str
    reason: str | None
    tries: int
    published_at: datetime | None
    stored: JobFields | None = None


class ReplayWork(NamedTuple):
    """Rows of a running replay that are due, in their order. `at`: the store's time."""

    replay: Replay
    rows: list[ReplayJob]
    at: datetime


class MarkedRow(NamedTuple):
    """The result of a row that was due: published, failed or parked with a reason, or waiting: it is due again in a minute.
    Fields are in the order of `p` in queries/mark_replayed.sql."""

    replay_id: bytes
    n: int
    state: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ReplayGroup:
    """Rows of a selection with the same processor, state, error and reason to be parked. `run_ms`: of the runs that are to be
    repeated, on average; None if none has a time."""

    processor: str | None
    state: str | None
    error_code: str | None
    fingerprint: str | None
    parked: str | None
    jobs: int
    run_ms: float | None


class ReplayStore(Protocol):
    """Used by one thread; a context manager that disconnects on exit.

    Every call raises Unreachable while the store does not answer, and UsageError if `sluice migrate` was never run.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    # ── for operators ──

    def preview(self, new: NewReplay, chosen: Chosen) -> list[ReplayGroup]:
        """Count what `start` would freeze now, the largest group first."""
        ...

    def sample(self, new: NewReplay, chosen: Chosen, limit: int) -> list[ReplayJob]:
        """Return at most `limit` rows that `start` would freeze as waiting, drawn from all of the selection."""
        ...

    def start(self, new: NewReplay, chosen: Chosen) -> Replay:
        """Freeze a selection, in one transaction. A job is parked whose case was erased, whose run has not ended, that waits
        in another replay, that was replayed too often, or that has no number left for a run. Without a waiting row the replay
        is done."""
        ...

    def replay(self, replay_id: str, tenant: str | None = None) -> Replay | None:
        """Return a replay; None if it is unknown, or not the given tenant's."""
        ...

    def replays(self, limit: int, after: tuple[datetime, str] | None = None, tenant: str | None = None) -> list[Replay]:
        """Return replays, newest first. `after`: `(created_at, replay_id)` of the last one of the previous page."""
        ...

    def rows(self, replay_id: str, state: str | None, limit: int, after: int = 0) -> list[ReplayJob]:
        """Return rows of a replay with a greater `n` than `after`, in their order."""
        ...

    def outcomes(self, replay_id: str) -> dict[str, int]:
        """Count the new runs of the published rows by state. PENDING are also those that the sink has not read yet."""
        ...

    def act(self, replay_id: str, action: str) -> Replay | None:
        """Do one of ACTIONS; None if the replay is in none of the states that it is for."""
        ...

    # ── for the timekeeper ──

    def due(self, limit: int) -> list[ReplayWork]:
        """Return at most `limit` rows of running replays that may be published now by the replay's rate, on the store's
        clock. Each running replay gets its share. Rows are parked instead whose case was erased while they were frozen."""
        ...

    def mark(self, rows: Sequence[MarkedRow]) -> None:
        """Record what became of rows. A replay without waiting rows is done then. Rows that do not wait stay as they are."""
        ...

    def payload(self, job_id: str, run: int) -> Payload | None:
        """Return an accepted request that the log does not have; None if there is none."""
        ...

    def close(self) -> None: ...


def distinct_sources(chosen: Sequence[ReplaySource]) -> list[ReplaySource]:
    """Return the sources, of each job the first one only."""
    found: dict[object, ReplaySource] = {}
    for row in chosen:
        found.setdefault(row.job_id or row.position, row)
    return list(found.values())


def checked_action(store: ReplayStore, replay: Replay, action: str) -> Replay:
    """Do an action; return the replay after it. Raises Conflict if it is not possible in the replay's state."""
    after = ACTIONS[action][1]
    if replay.state == after:
        return replay
    acted = store.act(replay.replay_id, action)
    if acted is None:
        raise Conflict(
            f"The replay is {replay.state}, so it can't be changed to {after}.",
            next_step={
                DONE: f"Nothing of it is left to publish. See its jobs: `sluice replay show {replay.replay_id}`.",
                CANCELLED: "Start another one for the jobs that it did not publish.",
            }.get(replay.state, "See `sluice replay show`."),
        )
    return acted
