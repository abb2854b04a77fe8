"""The tables of replays in memory, as in `tables.py`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from connectors.replay_store import DONE, ERASED, PARKED, PAUSED, RUNNING, WAITING, NewReplay
from connectors.sink_store import LogPosition
from schemas.states import State

if TYPE_CHECKING:
    from connectors.memory.database import MemoryDatabase

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class StoredReplay:
    """Mirrors `replays`; the numbers of its rows are counted."""

    replay_id: str
    state: str
    new: NewReplay
    next_at: datetime
    created_at: datetime
    ended_at: datetime | None = None
    rows: list[StoredReplayJob] = field(default_factory=list)

    def count(self, state: str) -> int:
        return sum(row.state == state for row in self.rows)

    def erase(self, jobs: Collection[bytes], now: datetime) -> None:
        """Park the waiting rows of these jobs, and delete the texts of a replay that has ended, if it repeated one of them."""
        own = {row.n for row in self.rows if row.job_id in jobs}
        self.park(own, now)
        if own and self.ended_at is not None:
            self.new = replace(self.new, edit=None, reason="")

    def park(self, numbers: Collection[int], now: datetime) -> None:
        """Park the waiting ones of these rows, because their cases were erased."""
        for row in (row for row in self.rows if row.n in numbers and row.state == WAITING):
            row.state, row.reason = PARKED, ERASED
        if numbers:
            self.end(now)

    def end(self, now: datetime) -> None:
        """End a replay without waiting rows."""
        if self.state in (RUNNING, PAUSED) and not self.count(WAITING):
            self.state, self.ended_at = DONE, now


@dataclass(slots=True)
class StoredReplayJob:
    """Mirrors `replay_jobs`."""

    n: int
    source: str
    job_id: bytes | None
    from_run: int | None
    run: int | None
    position: LogPosition | None
    state: str
    reason: str | None
    tries: int = 0
    due_at: datetime = _LONG_AGO
    published_at: datetime | None = None

    def stands(self, replay: StoredReplay) -> bool:
        """True if the row was or is to be published."""
        return self.state == "published" or (self.state == "waiting" and replay.state != "cancelled")


def is_replayed(replays: Mapping[str, StoredReplay], job_id: bytes, run: int, replay_id: bytes | None) -> bool:
    """True if this replay has made the run."""
    found = None if replay_id is None else replays.get(str(UUID(bytes=replay_id)))
    return found is not None and any((row.job_id, row.run) == (job_id, run) for row in found.rows)


def prune_replays(database: MemoryDatabase, before: datetime) -> None:
    """Delete replays that ended before then, unless a run of theirs is open: the sink takes an edited input by its rows."""
    open_states = (State.PENDING, State.PROCESSING, State.RETRYING)
    for replay_id, replay in list(database.replays.items()):
        runs = [database.runs.get((row.job_id, row.run)) for row in replay.rows if row.job_id and row.run is not None]
        if (
            replay.ended_at is not None
            and replay.ended_at < before
            and not any(run is not None and run.state in open_states for run in runs)
        ):
            del database.replays[replay_id]
