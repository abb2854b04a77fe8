"""Replays in memory: the statements of `queries/*replay*.sql`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from connectors.memory.database import MemoryStore
from connectors.memory.payload_store import stored_payload
from connectors.memory.replay_candidates import Candidate, Candidates
from connectors.memory.replay_tables import StoredReplay, StoredReplayJob
from connectors.memory.tables import StoredJob
from connectors.payload_store import Payload
from connectors.replay_store import (
    ACTIONS,
    CANCELLED,
    DONE,
    FAILED,
    FASTEST,
    JOB_FIELDS,
    PARKED,
    PUBLISHED,
    RUNNING,
    SLOWEST,
    WAITING,
    Chosen,
    JobFields,
    MarkedRow,
    NewReplay,
    Replay,
    ReplayGroup,
    ReplayJob,
    ReplayWork,
)

_SECOND, _MINUTE, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)


class MemoryReplayStore(MemoryStore):
    """Implements `connectors.replay_store.ReplayStore`."""

    # ── for operators ──

    def preview(self, new: NewReplay, chosen: Chosen) -> list[ReplayGroup]:
        with self._db.reading() as now:
            times: dict[ReplayGroup, list[float | None]] = {}
            for one in Candidates(self._db).of(new, chosen, now):
                job, run, outcome = Candidates(self._db).known(one)
                group = ReplayGroup(
                    job.processor if job else None,
                    run.state if run else None,
                    outcome.error_code if outcome else None,
                    outcome.fingerprint if outcome else None,
                    one.parked,
                    0,
                    None,
                )
                times.setdefault(group, []).append(outcome.run_ms if outcome else None)
        groups = [replace(group, jobs=len(each), run_ms=_average(each)) for group, each in times.items()]
        return sorted(groups, key=lambda group: (-group.jobs, str(group.processor), str(group.error_code)))

    def sample(self, new: NewReplay, chosen: Chosen, limit: int) -> list[ReplayJob]:
        with self._db.reading() as now:
            waiting = [one for one in Candidates(self._db).of(new, chosen, now) if one.parked is None]
            return [self._job(_row(0, one)) for one in waiting[:limit]]

    def start(self, new: NewReplay, chosen: Chosen) -> Replay:
        with self._db.writing() as now:
            rows = [_row(n, one) for n, one in enumerate(Candidates(self._db).of(new, chosen, now), 1)]
            done = all(row.state == PARKED for row in rows)
            stored = StoredReplay(new.replay_id, DONE if done else RUNNING, new, now, now, now if done else None, rows)
            self._db.replays[new.replay_id] = stored
            return _view(stored)

    def replay(self, replay_id: str, tenant: str | None = None) -> Replay | None:
        with self._db.reading():
            found = self._db.replays.get(replay_id)
            return None if found is None or tenant not in (None, found.new.tenant) else _view(found)

    def replays(self, limit: int, after: tuple[datetime, str] | None = None, tenant: str | None = None) -> list[Replay]:
        with self._db.reading():
            found = [_view(one) for one in self._db.replays.values() if tenant in (None, one.new.tenant)]
        found.sort(key=lambda one: (one.created_at, one.replay_id), reverse=True)
        return [one for one in found if after is None or (one.created_at, one.replay_id) < after][:limit]

    def rows(self, replay_id: str, state: str | None, limit: int, after: int = 0) -> list[ReplayJob]:
        with self._db.reading():
            replay = self._db.replays.get(replay_id)
            of_replay = [] if replay is None else replay.rows
            found = [row for row in of_replay if row.n > after and state in (None, row.state)]
            return [self._job(row) for row in found[:limit]]

    def outcomes(self, replay_id: str) -> dict[str, int]:
        with self._db.reading():
            states: Counter[str] = Counter()
            for row in self._db.replays[replay_id].rows:
                if row.state == PUBLISHED and row.job_id is not None and row.run is not None:
                    run = self._db.runs.get((row.job_id, row.run))
                    states["PENDING" if run is None else run.state] += 1
            return dict(sorted(states.items()))

    def act(self, replay_id: str, action: str) -> Replay | None:
        before, after = ACTIONS[action]
        with self._db.writing() as now:
            found = self._db.replays[replay_id]
            if found.state not in before:
                return None
            found.state, found.next_at = after, max(found.next_at, now)
            found.ended_at = now if after == CANCELLED else None
            return _view(found)

    # ── for the timekeeper ──

    def due(self, limit: int) -> list[ReplayWork]:
        with self._db.reading() as now:
            running = [one for one in self._db.replays.values() if one.state == RUNNING and one.next_at <= now]
            found = []
            for one in sorted(running, key=lambda one: (one.created_at, one.replay_id)):
                most = max(1, limit // len(running))
                if one.new.rate is not None:
                    saved = (now - max(one.next_at, now - _SECOND)).total_seconds()
                    most = min(most, 1 + int(saved * _held(one.new.rate)))
                due = [row for row in one.rows if row.state == WAITING and row.due_at <= now]
                erased = {row.n for row in due[:most] if self._is_erased(row)}
                if jobs := [self._job(row) for row in due[:most] if row.n not in erased]:
                    found.append(ReplayWork(_view(one), jobs, now))
                one.park(erased, now)
            return found

    def mark(self, rows: Sequence[MarkedRow]) -> None:
        if not rows:
            return
        with self._db.writing() as now:
            published: Counter[str] = Counter()
            for replay_id, n, state, reason in rows:
                found = self._db.replays[str(UUID(bytes=replay_id))]
                row = found.rows[n - 1]
                if row.state != WAITING:
                    continue
                row.state, row.reason = state, reason
                if state == WAITING:
                    row.tries, row.due_at = row.tries + 1, now + _MINUTE
                elif state == PUBLISHED:
                    row.published_at = now
                    published[found.replay_id] += 1
            for replay_id in {row.replay_id for row in rows}:
                self._close(self._db.replays[str(UUID(bytes=replay_id))], published, now)

    def payload(self, job_id: str, run: int) -> Payload | None:
        with self._db.reading():
            found = self._db.payloads.get((UUID(job_id).bytes, run))
            return None if found is None else stored_payload(found)

    def _close(self, found: StoredReplay, published: Counter[str], now: datetime) -> None:
        """Let the rate count what was published, and end a replay without waiting rows."""
        if found.new.rate is not None:
            waited = timedelta(seconds=published[found.replay_id] / _held(found.new.rate))
            found.next_at = max(found.next_at, now - _SECOND) + waited
        found.end(now)

    def _is_erased(self, row: StoredReplayJob) -> bool:
        job = self._db.jobs.get(row.job_id or b"")
        return job is not None and job.erased_at is not None

    def _job(self, row: StoredReplayJob) -> ReplayJob:
        job, position = self._db.jobs.get(row.job_id or b""), row.position
        return ReplayJob(
            row.n,
            row.source,
            None if row.job_id is None else str(UUID(bytes=row.job_id)),
            None if job is None else job.processor,
            row.from_run,
            row.run,
            None if position is None else self._db.topics.get(position.topic_id),
            None if position is None else position.topic_id,
            None if position is None else position.partition,
            None if position is None else position.offset,
            row.state,
            row.reason,
            row.tries,
            row.published_at,
            None if job is None else _fields_of(job),
        )


def _row(n: int, one: Candidate) -> StoredReplayJob:
    parked = one.parked is not None
    run = None if parked else one.next_run
    state = PARKED if parked else WAITING
    return StoredReplayJob(n, one.source, one.job_id, one.from_run, run, one.position, state, one.parked)


def _view(stored: StoredReplay) -> Replay:
    said: dict[str, Any] = {name: getattr(stored.new, name) for name in Replay.__slots__ if hasattr(stored.new, name)}
    said |= {state: stored.count(state) for state in (PUBLISHED, PARKED, FAILED)}
    said |= {"created_at": stored.created_at, "ended_at": stored.ended_at}
    return Replay(**said, state=stored.state, total=len(stored.rows))


def _held(rate: float) -> float:
    """Return a rate within its bounds."""
    return min(max(SLOWEST, rate), FASTEST)


def _average(times: Sequence[float | None]) -> float | None:
    known = [one for one in times if one is not None]
    return sum(known) / len(known) if known else None


def _fields_of(job: StoredJob) -> JobFields:
    stored = {name: getattr(job, name) for name in JOB_FIELDS}
    return JobFields(**{**stored, "labels": None if job.labels is None else json.loads(job.labels)})
