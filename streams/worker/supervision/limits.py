"""Limits and progress of the jobs that run in the child. Pure, except that the caller locks.

A job that is done within `QUIET_S` leaves no progress at all. After that its start is reported once, then at most two updates a
second, of which the last one wins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from schemas.errors import ErrorCode
from schemas.headers import DEADLINE, JOB
from streams.worker.job import InFlightJob

QUIET_S = 0.25
PERIOD_S = 0.5


@dataclass(frozen=True, slots=True)
class ProgressUpdate:
    """Progress of a job. `sequence` orders the updates of one execution. With `text` it is a piece of generated text, and
    `sequence` counts the pieces."""

    slot: int
    sequence: int
    stage: str
    percent: float | None
    message: str
    text: str | None = None


class HeaderDeadline(NamedTuple):
    """A deadline by Kafka headers. `known` is False for a request without our headers: only its value has the deadline."""

    at: datetime | None
    known: bool


def deadline_from_headers(job: InFlightJob) -> HeaderDeadline:
    """Never raises: anyone may write headers, and one that is no time counts as none."""
    fields = dict(job.headers)
    return HeaderDeadline(_parse_time(fields.get(DEADLINE)), JOB in fields)


def _parse_time(text: bytes | None) -> datetime | None:
    try:
        at = None if text is None else datetime.fromisoformat(text.decode())
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None


@dataclass(slots=True)
class _ProgressState:
    due: float
    sequence: int = 0
    pending: tuple[str, float | None, str] | None = None


class RunningJobs:
    """Slots of the jobs that run in the child. All times are monotonic. `default_s`: how long a job without a hard limit of its
    own may run, so that no job hangs for ever; SLUICE_HARD_LIMIT_S."""

    def __init__(self, default_s: float = math.inf) -> None:
        self._default_s = default_s
        self._since: dict[int, float] = {}  # the oldest first
        self._limits: dict[int, float] = {}
        self._cancelled: dict[int, float | None] = {}  # until when the job may take to stop
        self._deadlines: dict[int, float] = {}  # with the grace after it
        self._progress: dict[int, _ProgressState] = {}
        self._long: set[int] = set()  # over QUIET_S, returned by `long` already

    def started(self, slots: Iterable[int], hard_ms: int | None, now: float) -> None:
        """Mark slots as running. Calling it again restarts their hard limit (or clears it if `hard_ms` is None); the start time
        is kept."""
        for slot in slots:
            self._since.setdefault(slot, now)
            if hard_ms is not None:
                self._limits[slot] = now + hard_ms / 1000
            elif self._limits:
                self._limits.pop(slot, None)

    def ended(self, slots: Iterable[int]) -> None:
        for slot in slots:
            self._since.pop(slot, None)
            if self._limits:
                self._limits.pop(slot, None)
            if self._cancelled:
                self._cancelled.pop(slot, None)
            if self._progress:
                self._progress.pop(slot, None)
            if self._long:
                self._long.discard(slot)
                self._deadlines.pop(slot, None)

    def paused(self, slots: Iterable[int]) -> None:
        """Stop the clock of jobs that wait for the device until they are started again."""
        for slot in slots:
            self._since.pop(slot, None)
            self._limits.pop(slot, None)
            self._deadlines.pop(slot, None)
            self._long.discard(slot)

    def disowned(self, slots: Iterable[int]) -> None:
        """Forget jobs that are not ours any more. One that runs on still uses the device, so its hard limit stays."""
        for slot in slots:
            for each in (self._cancelled, self._deadlines, self._progress):
                each.pop(slot, None)

    def clear(self) -> set[int]:
        """The child is gone: forget all jobs; return the slots of the cancelled ones."""
        cancelled = set(self._cancelled)
        for each in (self._since, self._limits, self._cancelled, self._deadlines, self._progress, self._long):
            each.clear()
        return cancelled

    def cancelled(self, slots: Iterable[int], until: float | None) -> None:
        """Mark jobs as cancelled. A running one has until `until` to stop (None: any time); a second cancel adds no time."""
        for slot in slots:
            self._cancelled.setdefault(slot, until)

    def long(self, now: float) -> list[int]:
        """Return the slots that have run for QUIET_S, each once: only these are worth an expensive look."""
        found = []
        for slot, since in self._since.items():
            if now - since < QUIET_S:
                break
            if slot not in self._long:
                self._long.add(slot)
                found.append(slot)
        return found

    def set_deadline(self, slot: int, at: float) -> None:
        """Set a job's deadline, including the grace to stop after it."""
        if slot in self._since:
            self._deadlines[slot] = at

    def overdue(self, now: float) -> dict[int, ErrorCode]:
        """Return the slots to kill the child for, and why."""
        overdue = {slot: ErrorCode.TIMEOUT_ERROR for slot, limit in self._limits.items() if now >= limit}
        for slot, since in self._since.items():
            if now - since < self._default_s:
                break
            if slot not in self._limits:
                overdue[slot] = ErrorCode.TIMEOUT_ERROR
        overdue |= {slot: ErrorCode.DEADLINE_EXCEEDED for slot, at in self._deadlines.items() if now >= at}
        if self._cancelled:
            cancelled = self._cancelled.items()
            overdue |= {
                slot: ErrorCode.CANCELLED
                for slot, until in cancelled
                if until is not None and now >= until and slot in self._since
            }
        return overdue

    def progress(self, slot: int, stage: str, percent: float | None, message: str) -> None:
        """Take a progress update of the processor."""
        since = self._since.get(slot)
        if since is not None:
            state = self._progress.setdefault(slot, _ProgressState(since + QUIET_S))
            state.pending = (stage, percent, message)

    def updates(self, now: float) -> list[ProgressUpdate]:
        """Return the updates to publish now."""
        for slot, since in self._since.items():
            if now - since < QUIET_S:
                break
            if slot not in self._progress:
                self._progress[slot] = _ProgressState(now, pending=("started", None, ""))
        due = [item for item in self._progress.items() if item[1].pending and now >= item[1].due]
        return [self._update(slot, state, now) for slot, state in due]

    def _update(self, slot: int, state: _ProgressState, now: float) -> ProgressUpdate:
        assert state.pending is not None
        stage, percent, message = state.pending
        state.pending, state.due, state.sequence = None, now + PERIOD_S, state.sequence + 1
        return ProgressUpdate(slot, state.sequence, stage, percent, message)
