"""Keeps a child alive and hears it: which jobs run, what became of them, and what to do with them when it dies.

A job that was being worked on when its process died is a suspect: it runs again alone, so that one killer takes no innocent
with it, and after too many crashes it is not run any more. Jobs that only waited in the child run again as if nothing had been.
Where we killed the child, for a job over its limit or one that would not stop, nobody else is suspected: its batch mates have
one more execution and nothing to answer for.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.errors import ErrorCode, StartupError
from streams import logs
from streams.worker import job as judge
from streams.worker import protocol
from streams.worker.in_flight import InFlightJob, InFlightJobs
from streams.worker.protocol import ChildConfig, Flag, MessageKind
from streams.worker.publisher import Publisher
from streams.worker.supervision import deadlines
from streams.worker.supervision.limits import ProgressUpdate
from streams.worker.supervision.messages import ChildMessages
from streams.worker.supervision.process import ChildProcess
from streams.worker.supervision.recycling import RecyclePolicy
from streams.worker.supervision.startup import DEFAULT_LOAD_S, StartupTracker, describe_exit

log = logs.get("worker")

LOOK_EVERY_S = 1.0
#: How long a child may take to end when it has said that it is through.
LEAVE_S = 5.0


class Supervisor:
    """Called from the worker's main thread, but for `refuse_for_size` and what only reads. The child is heard by its `Ear`."""

    def __init__(self, config: ChildConfig, ledger: InFlightJobs) -> None:
        self._config = config
        self._ledger = ledger
        self._child: ChildProcess | None = None
        self._starts = StartupTracker(
            config.processor, Path(config.scratch), float(config.settings.get("load_timeout_s", DEFAULT_LOAD_S))
        )
        self._start_at = 0.0  # while there is no child
        self._executions = 3
        self._grace_s: float | None = 5.0
        self._reopened: deque[InFlightJob] = deque()
        self._next_look = 0.0
        self._wear = RecyclePolicy()
        self._ear = ChildMessages(ledger, self._starts, self._wear)
        self._retiring = False
        #: When a job must be done, asked of those that run for a while.
        self.deadline_of: Callable[[InFlightJob], datetime | None] = deadlines.header_deadline
        self.restarts = 0
        self.recycled = 0

    @property
    def publisher(self) -> Publisher | None:
        """Who publishes what the child answers; to be set before the first job."""
        return self._ear.publisher

    @publisher.setter
    def publisher(self, publisher: Publisher) -> None:
        self._ear.publisher = publisher

    @property
    def about(self) -> dict[str, Any]:
        """What the newest child said of itself when it was ready."""
        return self._ear.about

    @property
    def ceilings(self) -> dict[str, dict[str, Any]]:
        """By bucket, what the child learned that the device can hold."""
        return self._ear.ceilings

    @property
    def pid(self) -> int | None:
        child = self._child  # health asks from another thread
        return None if child is None else child.pid

    @property
    def was_ready(self) -> bool:
        """Whether the processor could start, now or before."""
        return self._starts.was_ready

    @property
    def ready(self) -> dict[str, Any] | None:
        """What the child said of itself once it took work; None until then. Read from other threads."""
        child = self._child
        return None if child is None else child.ready

    @property
    def backlog(self) -> bool:
        return self._child is not None and self._child.backlog

    @property
    def resident(self) -> int:
        """Bytes of memory that the child held when we last looked."""
        return self._wear.resident

    # ── starting ──

    def start(self, stopping: Callable[[], bool]) -> dict[str, Any] | None:
        """Start the child and wait until it is ready; what it says of itself, None when told to stop meanwhile. Raises
        StartupError, by the processor's name, when it can't start."""
        self._spawn()
        while not stopping():
            if self._ear.wait_for_word(0.1):
                self._recover_if_ended()
                if self.ready is not None:
                    self._obey(self.ready)
                    return self.ready
            self._end_a_stuck_start(time.monotonic())
        return None

    def _obey(self, ready: dict[str, Any]) -> None:
        """The limits of the processor's policy."""
        self._executions = int(ready["executions"])
        grace_ms = ready["cancel_grace_ms"]
        self._grace_s = None if grace_ms is None else grace_ms / 1000

    def _spawn(self) -> None:
        self._ear.begin()
        self._retiring = False
        self._starts.began(time.monotonic())
        self._child = ChildProcess(self._config, self._ear)
        log.info("child_started", processor=self._config.processor, child=self._child.pid)

    def _end_a_stuck_start(self, now: float) -> None:
        if self._child is not None and self._starts.hangs(now):
            self._child.kill()

    def stop(self, timeout: float) -> None:
        if self._child is not None:
            self._child.stop(timeout)
            self._child = None

    # ── jobs ──

    def send(self, jobs: Iterable[InFlightJob]) -> None:
        """Give them to the child; while it is being replaced they wait for the next one."""
        if self._child is None or self._retiring:
            return
        packed = [protocol.pack_job(held.frame()) for held in jobs]
        if packed:
            self._child.send(protocol.write_frame(MessageKind.JOBS, packed))

    def pump(self, timeout: float) -> None:
        if self._child is not None:
            self._child.pump(timeout)

    def drop(self, slots: list[int]) -> None:
        """These are somebody else's now. The child need not begin them; what runs is told to stop, and its limits hold."""
        if slots and self._child is not None:
            packed = [protocol.pack_slots(slots)]
            self._child.send(
                protocol.write_frame(MessageKind.DROP, packed) + protocol.write_frame(MessageKind.CANCEL, packed)
            )
        self._ear.dropped(slots)

    def give_back(self, slots: list[int]) -> None:
        """What has not begun of these is not to be run here. The child says which that is: those leave the ledger."""
        if self._child is None:
            self._ledger.give_back(slots)
        elif slots:
            self._child.send(protocol.write_frame(MessageKind.DROP, [protocol.pack_slots(slots)]))

    def cancel(self, slots: Iterable[int]) -> None:
        """Somebody asked for these jobs to stop. What waits is answered at once; what runs is told, and loses its process
        after the policy's grace. Slots that nobody waits for any more are left out. From the main thread."""
        asked = []
        for held in filter(None, map(self._ledger.held, slots)):
            if self._child is None or held.parked or held.withheld:
                judge.called_off(held)  # no child has it: the one that gets it will only answer it
            else:
                asked.append(held.slot)
        if asked and self._child is not None:
            self._ear.ask(asked, None if self._grace_s is None else time.monotonic() + self._grace_s)
            self._child.send(protocol.write_frame(MessageKind.CANCEL, [protocol.pack_slots(asked)]))

    # ── limits and crashes (main thread) ──

    def tick(self, now: float) -> list[ProgressUpdate]:
        """Look after the child; what is to be told of running jobs. Raises StartupError when it can't be kept alive."""
        if now >= self._next_look:
            self._next_look = now + LOOK_EVERY_S
            self._look(now)
        self._recover_if_ended()
        if self._child is None:
            self._start_anew(now)
            return []
        self._send_reopened()
        overdue, notes, long = self._ear.due(now)
        self._ask_deadlines(long, now)
        if overdue:
            self._enforce(overdue)
        elif not self._retiring and self._child.ready is not None and (reason := self._wear.reason()) is not None:
            self._retire(reason)
        return notes

    def _look(self, now: float) -> None:
        """Once a second: the child's memory, and whether it is stuck or left something behind."""
        if self._child is None:
            return
        self._wear.resident = self._child.resident
        self._end_a_stuck_start(now)
        through = self._ear.through
        if through is not None and now >= through + LEAVE_S:
            log.warning("child_exit_timed_out", processor=self._config.processor, child=self._child.pid)
            self._child.kill()
        # A child that is gone while its pipe stays open has started something that holds it.
        if self._child.exited:
            self._child.hear_out()

    def _ask_deadlines(self, slots: list[int], now: float) -> None:
        """Of jobs that run for a while; the short ones are over before it matters."""
        if self._grace_s is None:
            return
        for slot in slots:
            held = self._ledger.held(slot)
            if held is None or held.flags & Flag.REJECTED:
                continue  # its end is known: the child only writes it down
            deadline = self.deadline_of(held)
            if deadline is not None:
                left = max(0.0, (deadline - datetime.now(UTC)).total_seconds())
                self._ear.end_by(slot, now + left + self._grace_s)

    def _retire(self, reason: str) -> None:
        """Ask the child to finish what it is at and to end. What waits in it goes to its successor."""
        assert self._child is not None
        log.info(
            "child_recycled",
            processor=self._config.processor,
            child=self._child.pid,
            reason=reason,
            jobs=self._wear.answered,
            resident=self._wear.resident,
        )
        self._retiring = True
        self._child.send(protocol.write_frame(MessageKind.RETIRE, []))

    def _enforce(self, overdue: dict[int, ErrorCode]) -> None:
        """Kill the child for these jobs."""
        assert self._child is not None
        log.warning("child_killed", child=self._child.pid, reasons=sorted(set(overdue.values())), jobs=len(overdue))
        self._child.kill()
        self._child.hear_out()  # everything it had said is heard first: a job that just made it is not to blame
        self._recover(overdue)

    def _recover_if_ended(self) -> None:
        if self._ear.has_ended and self._child is not None:
            self._recover(None)

    def _recover(self, overdue: dict[int, ErrorCode] | None) -> None:
        """The child is gone: judge the jobs it leaves, and start another. `overdue`: those we killed it for; None: it ended."""
        assert self._child is not None
        status, pid = self._child.reap(), self._child.pid
        self._child = None
        if (broken := self._ear.broken) is not None:
            raise StartupError(
                f"{broken.message}\n(Its process ended: {describe_exit(status)}.)", next_step=broken.next_step
            )
        retired = self._retiring and overdue is None and (status == 0 or self._ear.through is not None)
        now = time.monotonic()
        self._start_at = now + self._starts.died(pid, status, now)
        jobs = self._ledger.unanswered()
        running = [held for held in jobs if held.started or (overdue is not None and held.slot in overdue)]
        asked = self._ear.forget()
        if retired:
            judge.outlived(running)
            self.recycled += 1
        else:
            self._judge(running, overdue)
            self._ledger.count_crashes(running)
            self.restarts += 1
            log.warning(
                "child_died", processor=self._config.processor, status=status, held=len(jobs), running=len(running)
            )
        for held in jobs:
            if held.slot in asked:
                judge.called_off(held)
        self._start_anew(now)

    def _judge(self, running: list[InFlightJob], overdue: dict[int, ErrorCode] | None) -> None:
        if overdue is not None:
            judge.killed_for(running, overdue)
            return
        for held in running:
            judge.died_under(held, self._executions)

    def _start_anew(self, now: float) -> None:
        if now >= self._start_at:
            self._spawn()
            self.send(self._ledger.unanswered())

    def refuse_for_size(self, held: InFlightJob) -> None:
        """Kafka refused its result: the child is to make a small one that says so. From the deliverer's thread."""
        self._ledger.reopen(held, Flag.REJECTED, ErrorCode.PAYLOAD_TOO_LARGE.encode())
        self._reopened.append(held)

    def _send_reopened(self) -> None:
        while self._reopened:
            self.send([self._reopened.popleft()])
