"""What a child says, as it comes: which jobs run and what became of them, how far they are, and what it tells of itself.

The child's reader thread speaks to it by `heard` and `ended`; everything else is called by the worker's main thread.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from schemas.errors import ErrorCode, StartupError
from streams.worker import protocol
from streams.worker.in_flight import InFlightJobs
from streams.worker.protocol import MessageKind
from streams.worker.publisher import Publisher
from streams.worker.supervision.limits import ProgressUpdate, RunningJobs
from streams.worker.supervision.process import ChildProcess
from streams.worker.supervision.recycling import RecyclePolicy
from streams.worker.supervision.startup import StartupTracker


class DueActions(NamedTuple):
    """What is to be done about running jobs now. `long`: slots that have run for a while, each told once."""

    overdue: dict[int, ErrorCode]
    notes: list[ProgressUpdate]
    long: list[int]


class ChildMessages:
    """Outlives the children: each is heard by the same one."""

    def __init__(self, ledger: InFlightJobs, starts: StartupTracker, wear: RecyclePolicy) -> None:
        self._ledger = ledger
        self._starts = starts
        self._wear = wear
        self._running = RunningJobs()
        self._lock = threading.Lock()  # guards _running
        self._ended = threading.Event()
        self._through: float | None = None
        self._spoke = threading.Event()  # READY, BROKEN or the end
        self.publisher: Publisher | None = None
        self.broken: StartupError | None = None
        #: What the newest child said of itself when it was ready; by bucket, what it learned that the device can hold.
        self.about: dict[str, Any] = {}
        self.ceilings: dict[str, dict[str, Any]] = {}

    # ── the reader thread ──

    def heard(self, child: ChildProcess, kind: MessageKind, body: bytes) -> None:
        if kind is MessageKind.STARTED:
            self._heard_started(body)
        elif kind is MessageKind.ANSWERS:
            self._heard_answers(body)
        elif kind is MessageKind.PROGRESS:
            told = json.loads(body)
            with self._lock:
                self._running.tell(told["slot"], told["stage"], told["percent"], told["message"])
        elif kind is MessageKind.PREPARED:
            with self._lock:
                self._running.rests(protocol.unpack_slots(body))
        elif kind is MessageKind.DROPPED:
            self._ledger.give_back(protocol.unpack_slots(body))
        elif kind is MessageKind.DRAINED:
            child.ready = None  # it takes nothing more
            self._through = time.monotonic()
        elif kind is MessageKind.BATCH_LIMIT:
            told = json.loads(body)
            self.ceilings = {**self.ceilings, told.pop("bucket"): told}
        elif kind is MessageKind.READY:
            self._heard_ready(child, json.loads(body))
        elif kind is MessageKind.BROKEN:
            told = json.loads(body)
            self.broken = StartupError(told["message"], next_step=told["next_step"])

    def ended(self, child: ChildProcess) -> None:
        child.ready = None
        self._ended.set()
        self._spoke.set()

    def _heard_started(self, body: bytes) -> None:
        slots, hard_ms = protocol.unpack_started(body)
        self._ledger.started(slots)
        with self._lock:
            self._running.started(slots, hard_ms, time.monotonic())

    def _heard_answers(self, body: bytes) -> None:
        assert self.publisher is not None
        answers = list(protocol.unpack_answers(body))
        with self._lock:
            self._running.ended([answer.slot for answer in answers])
        self._wear.answered += len(answers)
        for answer in answers:
            self.publisher.publish(answer)

    def _heard_ready(self, child: ChildProcess, told: dict[str, Any]) -> None:
        self._starts.ready()
        self._wear.fresh(told, child.resident)
        child.ready = told
        self.about, self.ceilings = told, {}
        self._spoke.set()

    # ── the main thread: the child ──

    def begin(self) -> None:
        """Another child is about to speak."""
        self._through = None
        self._ended.clear()
        self._spoke.clear()

    def wait_for_word(self, timeout: float) -> bool:
        """Whether the child is ready, broken or gone; waits for it."""
        return self._spoke.wait(timeout)

    @property
    def through(self) -> float | None:
        """Since when (monotonic) the child has nothing left to do but to end; None while it has."""
        return self._through

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    # ── the main thread: the jobs that run in it ──

    def due(self, now: float) -> DueActions:
        with self._lock:
            return DueActions(self._running.overdue(now), self._running.notes(now), self._running.long(now))

    def ask(self, slots: Iterable[int], until: float | None) -> None:
        """These were told to stop, and have until then (None: for ever)."""
        with self._lock:
            self._running.ask(slots, until)

    def end_by(self, slot: int, at: float) -> None:
        with self._lock:
            self._running.end_by(slot, at)

    def dropped(self, slots: Iterable[int]) -> None:
        with self._lock:
            self._running.dropped(slots)

    def forget(self) -> set[int]:
        """The child is gone; the slots of the jobs that had been told to stop."""
        with self._lock:
            return self._running.clear()
