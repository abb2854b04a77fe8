"""The rows that a replay would have, and why some of them are parked: `queries/replay_candidates.sql`, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from connectors.memory.database import MemoryDatabase
from connectors.memory.replay_tables import StoredReplay, StoredReplayJob
from connectors.memory.tables import OPEN, StoredJob, StoredOutcome, StoredRun
from connectors.replay_store import (
    ERASED,
    LAST_RUN,
    NO_RUN_LEFT,
    OPEN_REPLAY,
    OPEN_RUN,
    REQUEST,
    TOO_OFTEN,
    WAITING,
    Chosen,
    NewReplay,
    ReplayFilter,
    distinct_sources,
)
from connectors.sink_store import LogPosition
from schemas.ids import is_job_id

_DAY = timedelta(days=1)


class Candidate(NamedTuple):
    """A row of a selection. `parked`: why it is not to be published."""

    source: str
    job_id: bytes | None
    from_run: int | None
    position: LogPosition | None
    parked: str | None
    next_run: int | None


class Candidates:
    """Used within a transaction of the database."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._db = database

    def of(self, new: NewReplay, chosen: Chosen, now: datetime) -> list[Candidate]:
        found = self._matching(chosen) if isinstance(chosen, ReplayFilter) else _listed(chosen)
        own = [one for one in found if new.tenant is None or self._tenant(one.job_id) == new.tenant]
        return [self._checked(one, new, now) for one in own[: new.at_most]]

    def _matching(self, wanted: ReplayFilter) -> list[Candidate]:
        ids = None if wanted.job_ids is None else {UUID(one).bytes for one in wanted.job_ids if is_job_id(one)}
        runs = []
        for job in self._db.jobs.values():
            run = self._db.runs.get((job.job_id, job.current_run))
            outcome = self._db.outcomes.get((job.job_id, job.current_run))
            listed = job.job_id in ids if ids is not None else outcome is not None
            if run is not None and listed and _matches(wanted, job, run, outcome):
                runs.append(run)
        runs.sort(key=lambda run: (run.position is None, run.position and run.position.offset, run.job_id))
        turns: Counter[tuple[bytes, int] | None] = Counter()
        order = []
        for run in runs:
            place = None if run.position is None else run.position[:2]
            turns[place] += 1
            partition = run.position.partition if run.position else 2**31
            order.append((turns[place], partition, run.job_id, run))
        order.sort(key=lambda one: one[:3])
        return [Candidate(REQUEST, run.job_id, run.run, run.position, None, None) for *_, run in order]

    def _checked(self, one: Candidate, new: NewReplay, now: datetime) -> Candidate:
        if one.job_id is None:
            return one
        job, run, _ = self.known(one)
        rows = list(self._rows_of(one.job_id))
        numbers = [number for job_id, number in self._db.runs if job_id == one.job_id]
        numbers += [row.run for _, row in rows if row.run is not None]
        next_run = 1 + max([one.from_run or 0, *numbers])
        parked = self._parked(job, run, rows, one._replace(next_run=next_run), new, now)
        return one._replace(parked=parked, next_run=next_run)

    def _parked(
        self,
        job: StoredJob | None,
        run: StoredRun | None,
        rows: list[tuple[StoredReplay, StoredReplayJob]],
        one: Candidate,
        new: NewReplay,
        now: datetime,
    ) -> str | None:
        if job is not None and job.erased_at is not None:
            return ERASED
        if run is not None and run.state in OPEN:
            return OPEN_RUN.format(run=run.run)
        if (one.next_run or 0) > LAST_RUN:
            return NO_RUN_LEFT
        current = job.current_run if job is not None else one.from_run or 0
        counted = [(replay, row) for replay, row in rows if replay.new.mode == "replay" and row.stands(replay)]
        waits = [
            (row.run or 0, replay.replay_id)
            for replay, row in counted
            if (row.run or 0) > current
            if row.state == WAITING or (row.published_at is not None and row.published_at > now - _DAY)
        ]
        if new.mode == "replay" and waits:
            number, replay_id = max(waits)
            return OPEN_REPLAY.format(replay_id=replay_id, run=number)
        if new.limit is not None and len(counted) >= new.limit:
            return TOO_OFTEN.format(times=len(counted), limit=new.limit)
        return None

    def _rows_of(self, job_id: bytes) -> Iterator[tuple[StoredReplay, StoredReplayJob]]:
        for replay in self._db.replays.values():
            for row in replay.rows:
                if row.job_id == job_id:
                    yield replay, row

    def known(self, one: Candidate) -> tuple[StoredJob | None, StoredRun | None, StoredOutcome | None]:
        """Return the job, its current run, and the outcome of the run that is replayed."""
        job = self._db.jobs.get(one.job_id or b"")
        if job is None:
            return None, None, None
        run = self._db.runs.get((job.job_id, job.current_run))
        return job, run, self._db.outcomes.get((job.job_id, one.from_run if one.from_run is not None else -1))

    def _tenant(self, job_id: bytes | None) -> str | None:
        job = self._db.jobs.get(job_id or b"")
        return None if job is None else job.tenant


def _matches(wanted: ReplayFilter, job: StoredJob, run: StoredRun, outcome: StoredOutcome | None) -> bool:
    ended = outcome.decided_at if outcome is not None else None
    return (
        wanted.processor in (None, job.processor)
        and (wanted.states is None or run.state in wanted.states)
        and (wanted.error_code is None or (outcome is not None and outcome.error_code == wanted.error_code))
        and (wanted.fingerprint is None or (outcome is not None and outcome.fingerprint == wanted.fingerprint))
        and (wanted.model_version is None or (outcome is not None and outcome.model_version == wanted.model_version))
        and wanted.case_id in (None, job.case_id)
        and wanted.batch_id in (None, job.batch_id)
        and (wanted.since is None or (ended is not None and ended >= wanted.since))
        and (wanted.until is None or (ended is not None and ended < wanted.until))
    )


def _listed(chosen: Chosen) -> list[Candidate]:
    assert not isinstance(chosen, ReplayFilter)
    return [
        Candidate(
            row.source, None if row.job_id is None else UUID(row.job_id).bytes, row.from_run, row.position, None, None
        )
        for row in distinct_sources(chosen)
    ]
