"""Keeps a child alive and hears it: which jobs run, what became of them, and what to do with them when it dies.

A job that was being worked on when its process died is a suspect: it runs again alone, so that one killer takes no innocent
with it, and after too many deaths it is not run any more. Jobs that only waited in the child run again as if nothing had been.
Where we killed the child, for a job over its limit or one that would not stop, nobody else is suspected: its batch mates have
one more execution and nothing to answer for.
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
from streams.worker import frames, judge
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
        self._grace_s: float | None = 5.0
        self._reopened: deque[Held] = deque()
        self.publisher: Publisher | None = None
        self._next_look = 0.0
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    @property
    def ready(self) -> dict[str, Any] | None:
        """What the child said of itself once it took work; None until then. Read from other threads."""
        child = self._child
        return None if child is None else child.ready

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
                    self._obey(self._child.ready)
                    return self._child.ready
        return None

    def _obey(self, ready: dict[str, Any]) -> None:
        """The limits of the processor's policy."""
        self._executions = int(ready["executions"])
        grace_ms = ready["cancel_grace_ms"]
        self._grace_s = None if grace_ms is None else grace_ms / 1000

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

    def give_back(self, slots: list[int]) -> None:
        """What has not begun of these is not to be run here. The child says which that is: those leave the ledger."""
        if slots and self._child is not None:
            self._child.send(frames.write_frame(Kind.DROP, [frames.pack_slots(slots)]))

    def cancel(self, slots: Iterable[int]) -> None:
        """Somebody asked for these jobs to stop. What waits is answered at once; what runs is told, and loses its process
        after the policy's grace. Slots that nobody waits for any more are left out. From the main thread."""
        asked = [slot for slot in slots if self._ledger.held(slot) is not None]
        if not asked or self._child is None:
            return
        with self._lock:
            self._running.ask(asked, None if self._grace_s is None else time.monotonic() + self._grace_s)
        self._child.send(frames.write_frame(Kind.CANCEL, [frames.pack_slots(asked)]))

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
        elif kind is Kind.DROPPED:
            self._ledger.give_back(frames.unpack_slots(body))
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

    def _enforce(self, overdue: dict[int, ErrorCode]) -> None:
        """Kill the child for these jobs."""
        assert self._child is not None
        overdue = {slot: why for slot, why in overdue.items() if self._ledger.held(slot) is not None}
        if not overdue:
            return
        log.warning("child_killed", child=self._child.pid, reasons=sorted(set(overdue.values())), jobs=len(overdue))
        self._child.kill()
        self._ended.wait()  # everything it had said is heard first: a job that just made it is not to blame
        self._recover(overdue)

    def _recover_if_ended(self) -> None:
        if self._ended.is_set() and self._child is not None:
            self._recover(None)

    def _recover(self, overdue: dict[int, ErrorCode] | None) -> None:
        """Start another child and give it what the last one left. `overdue`: the jobs we killed it for; None: it died."""
        assert self._child is not None
        status = self._child.reap()
        if self._broken is not None:
            raise self._broken
        self._count_start_death(status)
        jobs = self._ledger.unanswered()
        with self._lock:
            asked = self._running.clear()
        suspects = self._judge_all(jobs, asked, overdue)
        log.warning("child_died", processor=self._config.processor, status=status, held=len(jobs), suspects=suspects)
        self.restarts += 1
        self._spawn()
        self.send(jobs)

    def _judge_all(self, jobs: list[Held], asked: set[int], overdue: dict[int, ErrorCode] | None) -> int:
        """What becomes of the jobs that were in a child that is gone; how many are suspected of having killed it."""
        running = [held for held in jobs if held.started]
        if overdue is None:
            for held in running:
                judge.died_under(held, self._executions)
        else:
            judge.killed_for(running, overdue)
        self._ledger.count_deaths(running)
        for held in jobs:
            if held.slot in asked:
                judge.called_off(held)
        return 0 if overdue is not None else len(running)

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

    def refuse_for_size(self, held: Held) -> None:
        """Kafka refused its result: the child is to make a small one that says so. From the deliverer's thread."""
        self._ledger.reopen(held, Flag.VERDICT, ErrorCode.PAYLOAD_TOO_LARGE.encode())
        self._reopened.append(held)

    def _send_reopened(self) -> None:
        while self._reopened:
            self.send([self._reopened.popleft()])
