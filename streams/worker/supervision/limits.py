"""What runs in the child right now: since when, how long it may, and what is to be told of it. Pure; the caller locks.

A job that is done within `QUIET_S` leaves no progress at all; after that its start is told once, then at most two words a
second, the last one wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.errors import ErrorCode

QUIET_S = 0.25
PERIOD_S = 0.5


@dataclass(frozen=True, slots=True)
class ProgressUpdate:
    """A word of progress. `sequence` orders the words of one execution."""

    slot: int
    sequence: int
    stage: str
    percent: float | None
    message: str


@dataclass(slots=True)
class _ProgressState:
    due: float
    sequence: int = 0
    waiting: tuple[str, float | None, str] | None = None


class RunningJobs:
    def __init__(self) -> None:
        self._since: dict[int, float] = {}  # by slot, the oldest first
        self._limits: dict[int, float] = {}
        self._asked: dict[int, float | None] = {}  # to stop: when our patience ends
        self._deadlines: dict[int, float] = {}  # with the grace that comes after
        self._told: dict[int, _ProgressState] = {}
        self._long: set[int] = set()  # over QUIET_S, as `long` has said

    def started(self, slots: Iterable[int], hard_ms: int | None, now: float) -> None:
        """These begin now. Said again, a limit counts anew, and without one it ends; how long they have run counts on."""
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
            if self._asked:
                self._asked.pop(slot, None)
            if self._told:
                self._told.pop(slot, None)
            if self._long:
                self._long.discard(slot)
                self._deadlines.pop(slot, None)

    def rests(self, slots: Iterable[int]) -> None:
        """These wait until they are started again: nobody is to be killed for them meanwhile."""
        for slot in slots:
            self._since.pop(slot, None)
            self._limits.pop(slot, None)
            self._deadlines.pop(slot, None)
            self._long.discard(slot)

    def dropped(self, slots: Iterable[int]) -> None:
        """Nobody here waits for these any more. While one runs on it holds the device, so its limit stays."""
        for slot in slots:
            for each in (self._asked, self._deadlines, self._told):
                each.pop(slot, None)

    def clear(self) -> set[int]:
        """The child is gone; the slots of the jobs that had been asked to stop."""
        asked = set(self._asked)
        for each in (self._since, self._limits, self._asked, self._deadlines, self._told, self._long):
            each.clear()
        return asked

    def ask(self, slots: Iterable[int], until: float | None) -> None:
        """These were told to stop. One that has begun has until then (None: for ever); asked again, nothing is added."""
        for slot in slots:
            self._asked.setdefault(slot, until)

    def long(self, now: float) -> list[int]:
        """Slots of jobs that have run for QUIET_S, each told once: what costs a look is asked of these only."""
        found = []
        for slot, since in self._since.items():
            if now - since < QUIET_S:
                break
            if slot not in self._long:
                self._long.add(slot)
                found.append(slot)
        return found

    def end_by(self, slot: int, at: float) -> None:
        """The job's deadline, with the grace that it has to stop after it."""
        if slot in self._since:
            self._deadlines[slot] = at

    def overdue(self, now: float) -> dict[int, ErrorCode]:
        """Slots of jobs that their process is to be killed for, and why."""
        late = {slot: ErrorCode.TIMEOUT_ERROR for slot, limit in self._limits.items() if now >= limit}
        late |= {slot: ErrorCode.DEADLINE_EXCEEDED for slot, at in self._deadlines.items() if now >= at}
        if self._asked:
            asked = self._asked.items()
            late |= {
                slot: ErrorCode.CANCELLED
                for slot, until in asked
                if until is not None and now >= until and slot in self._since
            }
        return late

    def tell(self, slot: int, stage: str, percent: float | None, message: str) -> None:
        """The processor says how far it is."""
        since = self._since.get(slot)
        if since is not None:
            told = self._told.setdefault(slot, _ProgressState(since + QUIET_S))
            told.waiting = (stage, percent, message)

    def notes(self, now: float) -> list[ProgressUpdate]:
        """What is to be published now."""
        for slot, since in self._since.items():
            if now - since < QUIET_S:
                break
            if slot not in self._told:
                self._told[slot] = _ProgressState(now, waiting=("started", None, ""))
        return [self._note(slot, told, now) for slot, told in self._told.items() if told.waiting and now >= told.due]

    def _note(self, slot: int, told: _ProgressState, now: float) -> ProgressUpdate:
        assert told.waiting is not None
        stage, percent, message = told.waiting
        told.waiting, told.due, told.sequence = None, now + PERIOD_S, told.sequence + 1
        return ProgressUpdate(slot, told.sequence, stage, percent, message)
