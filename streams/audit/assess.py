"""Concludes from the records and the rows of one run what became of it. Pure.

The order in which both were read (auditor.py) allows these conclusions: whatever the sink had stored, or confirmed as
published, when the audit began, must be seen; nothing that happens meanwhile looks like a loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from connectors.audit_store import AuditedRun, AuditKey, AuditState, ReadOffsets
from connectors.sink_store import LogPosition
from schemas.errors import ErrorCode
from schemas.states import TERMINAL, State
from streams.audit import deliveries, publication
from streams.audit.evidence import RunInLog, SeenRequest
from streams.audit.kinds import AuditFinding, AuditKind
from streams.audit.worker_progress import WorkerProgress

_NOT_READ = ReadOffsets(0, 0)


@dataclass(frozen=True, slots=True)
class Situation:
    """`spans`: what was read of each partition, by topic id; `lows`: the first offset that it still has. `kept_since`: time in
    ms since when no outcome has left the log. `late`: how long a service may take for what it has to do.
    `keep`: SLUICE_KEEP_DAYS. `whole`: every request that was ever written has been read."""

    state: AuditState
    progress: WorkerProgress
    spans: Mapping[tuple[bytes, int], tuple[int, int]]
    lows: Mapping[tuple[bytes, int], int]
    dead_letters: Set[LogPosition] = frozenset()
    kept_since: int = 0
    late: timedelta = timedelta(minutes=5)
    keep: timedelta | None = None
    whole: bool = False

    def offsets(self, place: LogPosition) -> ReadOffsets:
        """Return how far the sink has come in the partition of a place."""
        return self.state.offsets.get(place[:2], _NOT_READ)

    def is_late(self, at_ms: float) -> bool:
        return self.state.now.timestamp() * 1000 - at_ms > self.late.total_seconds() * 1000

    def has_left(self, place: LogPosition) -> bool:
        """True if the log does not have this record any more: its topic was deleted, or retention took it."""
        low = self.lows.get(place[:2])
        return low is None or place.offset < low

    def is_pruned(self, at_ms: float) -> bool:
        """True if the store may have deleted what happened then."""
        return self.keep is not None and self.state.now.timestamp() * 1000 - at_ms > self.keep.total_seconds() * 1000


class Assessment(NamedTuple):
    """`source`: where the run was accepted. `state`, `publication`, `delivery`: a row of the report's tables; the last two are
    empty for a run without outcome. `settled`: nothing will change any more."""

    key: AuditKey
    source: str
    state: str
    publication: str
    delivery: str
    findings: tuple[AuditFinding, ...]
    settled: bool
    superseded: int


@dataclass(slots=True)
class Notes:
    """Collects the findings of one run."""

    key: AuditKey
    findings: list[AuditFinding] = field(default_factory=list)

    def add(self, kind: AuditKind, detail: str) -> None:
        self.findings.append(AuditFinding(kind, str(UUID(bytes=self.key[0])), self.key[1], detail))


def assess(seen: RunInLog, row: AuditedRun, at: Situation, unrecorded: Set[LogPosition] = frozenset()) -> Assessment:
    """`unrecorded`: places of records of this run that the history lacks."""
    notes = Notes((row.job_id, row.run))
    state = _state(seen, row, at, notes)
    published = publication.of(seen, row, at, notes)
    delivery = deliveries.of(seen, row, at, notes)
    if row.known:
        lacking = sorted(unrecorded - at.dead_letters)
        if lacking:
            more = f", nor are {len(lacking) - 1} others" if len(lacking) > 1 else ""
            notes.add(AuditKind.NOT_RECORDED, f"{_printed(lacking[0], at)} is not in its history{more}")
    final = [each for each in seen.results if each.final]
    won = row.outcome is not None and any(each.place == row.outcome.place for each in final)
    settled = row.outcome is not None and published in publication.FINAL and delivery in deliveries.FINAL
    return Assessment(
        notes.key,
        _source(seen, row, at),
        state,
        published,
        delivery,
        tuple(notes.findings),
        settled,
        len(final) - won,
    )


def _source(seen: RunInLog, row: AuditedRun, at: Situation) -> str:
    if seen.requests:
        return "log, bulk lane" if seen.requests[0].bulk else "log, live lane"
    if row.place is not None:
        return "request left the log" if at.has_left(row.place) else "only in the store"
    return "over HTTP, not in the log yet" if row.payload_at is not None else "only in the store"


def _state(seen: RunInLog, row: AuditedRun, at: Situation, notes: Notes) -> str:
    _check_request(seen, row, at, notes)
    if row.outcome is not None:
        if row.state is None or row.processor is None:
            notes.add(AuditKind.STATE_CONTRADICTS, f"its row in {'runs' if row.state is None else 'jobs'} is missing")
        elif row.state != row.outcome.status:
            notes.add(AuditKind.STATE_CONTRADICTS, f"its run is {row.state}, its outcome is {row.outcome.status}")
        return row.outcome.status
    if row.state is None:
        return _unknown(seen, row, at, notes)
    if row.state in TERMINAL:
        notes.add(AuditKind.OUTCOME_MISSING, f"its run is {row.state}")
        return f"{row.state} without outcome"
    return _open(seen, row, at, notes)


def _check_request(seen: RunInLog, row: AuditedRun, at: Situation, notes: Notes) -> None:
    if seen.requests:
        return
    if row.place is None:
        refused = row.outcome is not None and row.outcome.error_code == ErrorCode.PAYLOAD_TOO_LARGE
        if at.whole and row.outcome is not None and row.payload_at is None and not refused:
            notes.add(AuditKind.REQUEST_MISSING, "it has an outcome, and no request was ever written")
    elif not at.has_left(row.place):
        start, stop = at.spans.get(row.place[:2], (0, 0))
        if start <= row.place.offset < stop:
            notes.add(AuditKind.REQUEST_MISSING, f"the log has no such request at {_printed(row.place, at)}")


def _unknown(seen: RunInLog, row: AuditedRun, at: Situation, notes: Notes) -> str:
    if not seen.requests:
        if row.payload_at is not None and row.check_at is not None:
            if at.is_late(row.payload_at.timestamp() * 1000):
                notes.add(AuditKind.OVERDUE, "accepted over HTTP, and neither gateway nor timekeeper has published it")
            return "open: waits for Kafka"
        return "unknown"
    first = seen.requests[0]
    if at.is_pruned(first.at_ms):
        return "ended, and deleted from the store by SLUICE_KEEP_DAYS"
    read = [each for each in seen.requests if each.place.offset < at.offsets(each.place).stored]
    if any(each.place in at.dead_letters for each in read):
        return "a dead letter"
    if read:
        notes.add(AuditKind.UNKNOWN, f"its request is {_printed(read[0].place, at)}")
        return "unknown to the store"
    if at.is_late(first.at_ms):
        notes.add(AuditKind.OVERDUE, f"no sink has read its request, {_printed(first.place, at)}")
    return "open: the sink has not read it"


def _open(seen: RunInLog, row: AuditedRun, at: Situation, notes: Notes) -> str:
    if row.due_at is not None and at.is_late(row.due_at.timestamp() * 1000):
        notes.add(
            AuditKind.OVERDUE, f"{row.due_kind} was due at {row.due_at:%Y-%m-%d %H:%M:%S} UTC; is a timekeeper running?"
        )
        return "open: overdue"
    if row.state == State.RETRYING:
        return "open: retry is due later"
    if row.state == State.PENDING and row.due_kind == "not_before":
        return "open: starts later"
    new = [each for each in seen.results if each.place.offset >= at.offsets(each.place).stored]
    if new:
        return "open: the sink has not read its result"
    if row.lease is not None:
        return f"open: lease {row.lease}"
    if any(each.final for each in seen.results):
        notes.add(AuditKind.OUTCOME_MISSING, f"its run is {row.state}, and the sink has read a final result")
        return "open: its result is not stored"
    request = _current_request(seen, row)
    if request is not None and at.progress.is_done(request):
        notes.add(AuditKind.OVERDUE, f"{_printed(request, at)} is committed as done, and the log has no result of it")
        return "open: done without a result"
    if row.state == State.PROCESSING:
        return "open: running"
    return "open: its processor is paused" if row.processor in at.state.paused else "open: waits for a worker"


def _current_request(seen: RunInLog, row: AuditedRun) -> LogPosition | None:
    """Return the request of the present attempt that came last; None if it is not known."""
    known = [SeenRequest(row.request_place, row.request_attempt or 0, 0, False)] if row.request_place else []
    found = [each for each in (*known, *seen.requests) if each.attempt == row.attempt]
    attempted = {each.attempt for each in seen.results}
    return max(found, key=lambda each: each.place).place if found and row.attempt not in attempted else None


def _printed(place: LogPosition, at: Situation) -> str:
    return f"{at.state.topics.get(place.topic_id, 'a deleted topic')}[{place.partition}]@{place.offset}"
