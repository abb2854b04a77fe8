"""Events made by hand, and a store in a few lines that follows the rules of store_batch.sql."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from confluent_kafka import Message

from connectors.sink_store import HistoryRow, LogPosition, RunRow
from schemas.plain import to_plain
from schemas.records import JobHeader
from schemas.states import State
from streams.sink.event import Event, Phase, TerminalResult
from streams.sink.fold import Role, fold
from streams.sink.rows import history_rows, run_rows

JOB = UUID("01890000-0000-7000-8000-000000000001")
REQUESTS, RESULTS = b"q" * 16, b"r" * 16
AT = datetime(2026, 1, 1, tzinfo=UTC)


def event(phase: Phase, offset: int = 0, *, attempt: int = 1, run: int = 0, job: UUID = JOB, **changes: Any) -> Event:
    header = JobHeader(str(job), "echo", AT, changes.pop("input_sha256", "a"), run=run, attempt=attempt)
    state = changes.pop("state", State.COMPLETED)
    topic = REQUESTS if phase is Phase.REQUESTED else RESULTS
    position = LogPosition(topic, 0, offset)
    return Event(
        job_id=job.bytes,
        run=run,
        attempt=attempt,
        execution=changes.pop("execution", 1),
        sequence=0,
        phase=phase,
        kind={Phase.REQUESTED: "request", Phase.RETRYING: "retry", Phase.ENDED: "result", Phase.NOTED: "note"}[phase],
        position=position,
        at=AT,
        header=to_plain(header) | changes.pop("header", {}),
        message=Message(topic="t", partition=0, offset=offset, value=b""),
        request_position=position if phase is Phase.REQUESTED else None,
        retry_in_ms=1000 if phase is Phase.RETRYING else None,
        terminal=TerminalResult(state) if phase is Phase.ENDED else None,
        **changes,
    )


_ORDER = {"PENDING": 0, "PROCESSING": 1, "RETRYING": 2}


@dataclass
class Model:
    """Does what store_batch.sql does, without a database. `runs` has state and attempt, `outcomes` the position that won."""

    inputs: dict[bytes, str] = field(default_factory=dict)
    runs: dict[tuple[bytes, int], tuple[str, int]] = field(default_factory=dict)
    outcomes: dict[tuple[bytes, int], tuple[Any, ...]] = field(default_factory=dict)
    history: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def store(self, events: Iterable[Event]) -> None:
        folds, later = fold(events)
        rows = run_rows(folds, None)
        known = {row.job_id for row in rows if self._knows(row)}
        won = {(row.job_id, row.run) for row in rows if row.job_id in known and self._wins(row)}
        moved = {(row.job_id, row.run) for row in rows if row.job_id in known and self._moves(row, won)}
        for line in history_rows(folds):
            self.history.setdefault(line[1:4], self._kind(line, known, moved, won))
        if later:
            self.store(later)

    def _knows(self, row: RunRow) -> bool:
        known = self.inputs.setdefault(row.job_id, row.input_sha256)
        return known == row.input_sha256 or not known or not row.input_sha256

    def _wins(self, row: RunRow) -> bool:
        if row.status is None or (row.job_id, row.run) in self.outcomes:
            return False
        self.outcomes[row.job_id, row.run] = (row.status, row.won_topic_id, row.won_partition, row.won_offset)
        return True

    def _moves(self, row: RunRow, won: set[tuple[bytes, int]]) -> bool:
        key = (row.job_id, row.run)
        if row.status is not None and key not in won:
            return False
        was = self.runs.get(key)
        if was is not None and (was[0] not in _ORDER or (row.status is None and not _further(row, was))):
            return False
        self.runs[key] = (str(row.state), row.attempt)
        return True

    def _kind(
        self, line: HistoryRow, known: set[bytes], moved: set[tuple[bytes, int]], won: set[tuple[bytes, int]]
    ) -> str:
        key = (line.job_id, line.run)
        lost = (
            (line.role != Role.NOTED and line.job_id not in known)
            or (line.role == Role.MUST_MOVE and key not in moved)
            or (line.role == Role.MUST_WIN and key not in won)
        )
        return "superseded" if lost else line.kind


def _further(row: RunRow, was: tuple[str, int]) -> bool:
    return (row.attempt, _ORDER[row.state]) > (was[1], _ORDER[was[0]])
