"""Failed jobs, replays of them, and what the timekeeper and the sink do to these, in a database."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from connectors.replay_store import PUBLISHED, Chosen, MarkedRow, NewReplay, Replay, ReplayFilter, ReplayJob
from schemas.ids import new_id
from schemas.states import State
from streams.sink.event import TerminalResult
from tests.harness.stores import Stores, ended, new_job, requested

ALL = ReplayFilter()


def failed(stores: Stores, code: str = "TIMEOUT_ERROR", offset: int = 0, **header: Any) -> UUID:
    job = new_job()
    end = ended(job, offset + 1, header=header, state=State.FAILED)
    terminal = TerminalResult(State.FAILED, {"code": code, "message": "m", "fingerprint": f"f-{code}"}, run_ms=20.0)
    stores.store(requested(job, offset, header=header), end._replace(terminal=terminal))
    return job


def start(stores: Stores, chosen: Chosen = ALL, **more: Any) -> Replay:
    started: Replay = stores.replays.start(new(**more), chosen)
    return started


def new(**more: Any) -> NewReplay:
    return NewReplay(new_id(), "me", "why not", **more)


def rows(stores: Stores, replay: Replay, state: str | None = None) -> list[ReplayJob]:
    found: list[ReplayJob] = stores.replays.rows(replay.replay_id, state, 100)
    return found


def mark(stores: Stores, replay: Replay, *numbers: int, state: str = PUBLISHED, reason: str | None = None) -> Replay:
    stores.replays.mark([MarkedRow(UUID(replay.replay_id).bytes, n, state, reason) for n in numbers])
    found: Replay | None = stores.replays.replay(replay.replay_id)
    assert found is not None
    return found


def read_by_the_sink(stores: Stores, row: ReplayJob, offset: int, state: State | None = None) -> None:
    assert row.job_id is not None
    assert row.run is not None
    job = UUID(row.job_id)
    stores.store(requested(job, offset, run=row.run))
    if state is not None:
        stores.store(ended(job, offset + 1, run=row.run, state=state))
