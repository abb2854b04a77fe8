"""Keeps a child alive and hears it: which jobs run, what became of them, and what to do with them when it dies.

A job that was being worked on when its process died is a suspect: it runs again alone, so that one killer takes no innocent
with it, and after too many starts it is not run any more. Jobs that only waited in the child run again as if nothing had been.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from schemas.errors import ErrorCode, StartupError
from streams import logs
from streams.worker import frames
from streams.worker.child_process import ChildProcess
from streams.worker.config import ChildConfig
from streams.worker.frames import Flag, Kind
from streams.worker.ledger import Held, Ledger
from streams.worker.publish import Publisher
from streams.worker.running import Note, Running

log = logs.get("worker")

#: Deaths in a row before the child was ready, after which the worker gives up.
START_DEATHS = 3
LOOK_EVERY_S = 1.0


class Supervisor:
    """Started and ticked from the main thread; `heard` and `ended` come from the child's reader thread."""

    def __init__(self, config: ChildConfig, ledger: Ledger) -> None:
        self._config = config
        self._ledger = ledger
        self._running = Running()
        self._lock = threading.Lock()  # guards _running
        self._child: ChildProcess | None = None
        self._ended = threading.Event()
        self._spoke = threading.Event()  # READY, BROKEN or the end
        self._broken: StartupError | None = None
        self._start_deaths = 0
        self._was_ready = False
        self._executions = 3
        self._reopened: deque[Held] = deque()
        self.publisher: Publisher | None = None
        self._next_look = 0.0
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    @property
    def backlog(self) -> bool:
        return self._child is not None and self._child.backlog

    # ── starting ──

    def start(self, stopping: Callable[[], bool]) -> dict[str, Any] | None:
        """Start the child and wait until it is ready; what it says of itself, None when told to stop meanwhile."""
        self._spawn()
        while not stopping():
            if self._spoke.wait(0.1):
                self._recover_if_ended()
                if self._child is not None and self._child.ready is not None:
                    self._executions = int(self._child.ready["executions"])
                    return self._child.ready
        return None

    def _spawn(self) -> None:
        self._ended.clear()
        self._spoke.clear()
        self._child = ChildProcess(self._config, self)
        log.info("child_started", processor=self._config.processor, child=self._child.pid)

    def stop(self, timeout: float) -> None:
        if self._child is not None:
            self._child.stop(timeout)
            self._child = None

    # ── jobs ──

    def send(self, jobs: Iterable[Held]) -> None:
        packed = [frames.pack_job(held.frame()) for held in jobs]
        if packed and self._child is not None:
            self._child.send(frames.write_frame(Kind.JOBS, packed))

    def pump(self, timeout: float) -> None:
        if self._child is not None:
            self._child.pump(timeout)

    def drop(self, slots: list[int]) -> None:
        """These are somebody else's now; the child need not begin them."""
        if slots and self._child is not None:
            self._child.send(frames.write_frame(Kind.DROP, [frames.pack_slots(slots)]))
        with self._lock:
            self._running.ended(slots)

    # ── what the child says (reader thread) ──

    def heard(self, child: ChildProcess, kind: Kind, body: bytes) -> None:
        if kind is Kind.STARTED:
            self._heard_started(body)
        elif kind is Kind.ANSWERS:
            self._heard_answers(body)
        elif kind is Kind.PROGRESS:
            told = json.loads(body)
            with self._lock:
                self._running.tell(told["slot"], told["stage"], told["percent"], told["message"])
        elif kind is Kind.READY:
            child.ready = json.loads(body)
            self._start_deaths = 0
            self._was_ready = True
            self._spoke.set()
        elif kind is Kind.BROKEN:
            told = json.loads(body)
            self._broken = StartupError(told["message"], next_step=told["next_step"])

    def ended(self, child: ChildProcess) -> None:
        self._ended.set()
        self._spoke.set()

    def _heard_started(self, body: bytes) -> None:
        slots, hard_ms = frames.unpack_started(body)
        self._ledger.started(slots)
        with self._lock:
            self._running.started(slots, hard_ms, time.monotonic())

    def _heard_answers(self, body: bytes) -> None:
        assert self.publisher is not None
        answers = list(frames.unpack_answers(body))
        with self._lock:
            self._running.ended([answer.slot for answer in answers])
        for answer in answers:
            self.publisher.publish(answer)

    # ── limits and deaths (main thread) ──

    def tick(self, now: float) -> list[Note]:
        """Look after the child; what is to be told of running jobs. Raises StartupError when it can't be kept alive."""
        if now >= self._next_look:
            self._next_look = now + LOOK_EVERY_S
            self._end_what_it_left()
        self._recover_if_ended()
        self._send_reopened()
        with self._lock:
            overdue = self._running.overdue(now)
            notes = self._running.notes(now)
        if overdue:
            self._enforce(overdue)
        return notes

    def _end_what_it_left(self) -> None:
        """A child that is gone while its pipe stays open has started something that holds it."""
        if self._child is not None and self._child.exited and not self._ended.wait(LOOK_EVERY_S):
            self._child.kill()
            self._ended.wait()

    def _enforce(self, overdue: list[int]) -> None:
        """Kill the child. One overdue job is to blame; among several nobody is yet, they run again alone."""
        assert self._child is not None
        log.warning("hard_limit", jobs=len(overdue), child=self._child.pid)
        self._child.kill()
        self._ended.wait()  # everything it had said is heard first: a job that just made it is not to blame
        still = [held for held in self._ledger.unanswered() if held.slot in overdue]
        if len(still) == 1:
            still[0].verdict = ErrorCode.TIMEOUT_ERROR.encode()
        self._recover_if_ended()

    def _recover_if_ended(self) -> None:
        if not self._ended.is_set() or self._child is None:
            return
        status = self._child.reap()
        if self._broken is not None:
            raise self._broken
        self._count_start_death(status)
        jobs = self._ledger.unanswered()
        suspects = [held for held in jobs if held.started]
        log.warning(
            "child_died", processor=self._config.processor, status=status, held=len(jobs), suspects=len(suspects)
        )
        with self._lock:
            self._running.clear()
        self.restarts += 1
        self._spawn()
        for held in suspects:
            self._judge(held)
        self.send(jobs)

    def _count_start_death(self, status: int) -> None:
        assert self._child is not None
        if self._child.ready is None:
            self._start_deaths += 1
        # One that was ready before is no broken processor: something kills it, and a worker that gave up would help nobody.
        if self._start_deaths >= START_DEATHS and not self._was_ready:
            raise StartupError(
                f"The process of processor {self._config.processor!r} died {START_DEATHS} times while starting "
                f"(exit status {status}).",
                next_step="Its own words stand in the log above; a negative status is the signal that killed it.",
            )

    def _judge(self, held: Held) -> None:
        """What becomes of a job whose process died under it."""
        held.started = False
        if held.flags & Flag.VERDICT:  # not even its verdict could be written: reading it kills
            held.flags |= Flag.UNREADABLE
        elif held.verdict:
            held.flags = Flag.VERDICT
        elif held.execution >= self._executions:
            held.flags, held.verdict = Flag.VERDICT, ErrorCode.WORKER_LOST.encode()
        else:
            held.execution += 1
            held.flags = Flag.ALONE

    def refuse_for_size(self, held: Held) -> None:
        """Kafka refused its result: the child is to make a small one that says so. From the deliverer's thread."""
        self._ledger.reopen(held, Flag.VERDICT, ErrorCode.PAYLOAD_TOO_LARGE.encode())
        self._reopened.append(held)

    def _send_reopened(self) -> None:
        while self._reopened:
            self.send([self._reopened.popleft()])
