"""Keeps a child alive: sends it jobs, enforces their limits, and decides what happens to them when it dies.

When the child process dies, the jobs that ran in it are suspects: each runs again alone, so that a killer takes no other job
with it, and after too many crashes not at all. (A worker's end leaves too many suspects for it: `kafka_source/quarantine.py`.)
Jobs that only waited in the child run again as if nothing had happened. When we killed the child, for a job over its limit or
one that would not stop, no other job is suspected: its batch mates have one more execution and no crash. When the child says
that its device fails, it is replaced: the jobs that were on the device run again alone, and one under which it fails again is
to blame.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from schemas.errors import ErrorCode, StartupError
from streams import logs
from streams.health.loop_threads import LoopThreads
from streams.worker import protocol
from streams.worker.in_flight import SET_ASIDE, InFlightJobs
from streams.worker.job import InFlightJob, JobState
from streams.worker.protocol import Answer, ChildConfig, MessageKind
from streams.worker.supervision.limits import ProgressUpdate
from streams.worker.supervision.messages import ChildMessages
from streams.worker.supervision.process import ChildProcess
from streams.worker.supervision.recycling import RecyclePolicy
from streams.worker.supervision.startup import DEFAULT_LOAD_S, StartupTracker, describe_exit
from streams.worker.supervision.watch import ChildWatch, memory_limit

log = logs.get("worker")


class Supervisor:
    """Called from the engine's thread, except `refuse_for_size` and what only reads.

    `publish` gets each answer, on the child's reader thread; `report` gets generated text, on that thread or the engine's.
    `deadline` is asked for the deadline of jobs that run for a while.
    """

    def __init__(
        self,
        config: ChildConfig,
        in_flight: InFlightJobs,
        publish: Callable[[Answer], None],
        report: Callable[[ProgressUpdate], None],
        deadline: Callable[[InFlightJob], datetime | None],
        threads: LoopThreads,
    ) -> None:
        self._config = config
        self._threads = threads
        self._in_flight = in_flight
        self._deadline = deadline
        self._child: ChildProcess | None = None
        load_s = float(config.settings.get("load_timeout_s", DEFAULT_LOAD_S))
        self._startup = StartupTracker(config.processor, Path(config.scratch), load_s)
        self._start_at = 0.0  # while there is no child
        self._executions = 3
        self._grace_s: float | None = 5.0
        self._refused: deque[InFlightJob] = deque()
        self._watch = ChildWatch(config.processor, memory_limit(config.settings.get("child_memory_mib")))
        self._recycle_policy = RecyclePolicy()
        default_limit_s = float(config.settings.get("hard_limit_s", math.inf))
        self._messages = ChildMessages(in_flight, publish, report, self._startup, self._recycle_policy, default_limit_s)
        self._retiring = False
        self.restarts = 0
        self.recycled = 0

    # ── read from any thread ──

    @property
    def about(self) -> dict[str, Any]:
        """The newest child's READY message."""
        return self._messages.about

    @property
    def ready(self) -> dict[str, Any] | None:
        """The child's READY message while it takes jobs."""
        return None if self._child is None else self._messages.ready

    @property
    def ceilings(self) -> dict[str, dict[str, Any]]:
        """Batch limits that the child learned from the device's memory, by bucket."""
        return self._messages.ceilings

    @property
    def pid(self) -> int | None:
        child = self._child
        return None if child is None else child.pid

    @property
    def was_ready(self) -> bool:
        """True if a child has been ready, now or before."""
        return self._startup.was_ready

    @property
    def backlog(self) -> bool:
        return self._child is not None and self._child.backlog

    @property
    def resident(self) -> int:
        """The child's memory in bytes when it was last measured."""
        return self._watch.resident or self._recycle_policy.resident

    # ── starting and stopping ──

    def start(self, stopping: Callable[[], bool]) -> dict[str, Any] | None:
        """Start the child and wait until it is ready. Return its READY message, None if `stopping` meanwhile. Raises
        StartupError, with the processor's name, when it can't start."""
        self._spawn()
        while not stopping():
            if self._messages.wait_for_report(0.1):
                self._recover_if_ended()
                if self._child is None:  # it could start once
                    raise StartupError(f"The process of {self._config.processor!r} ended while it started.")
                if (ready := self.ready) is not None:
                    self._executions = int(ready["executions"])
                    grace_ms = ready["cancel_grace_ms"]
                    self._grace_s = None if grace_ms is None else grace_ms / 1000
                    return ready
            self._kill_stuck_start(time.monotonic())
        return None

    def stop(self, timeout: float) -> None:
        if self._child is not None:
            self._child.stop(timeout)
            self._child = None

    def _spawn(self) -> None:
        if self.about.get("device", "cpu") != "cpu":  # `auto` must not choose the CPU because the device has failed
            self._config = replace(self._config, device=self.about["device"])
        self._messages.begin()
        self._watch.began()
        self._retiring = False
        self._startup.began(time.monotonic())
        self._child = ChildProcess(self._config, self._messages, self._threads)
        log.info("child_started", processor=self._config.processor, child=self._child.pid)

    def _restart(self, now: float) -> None:
        if now >= self._start_at:
            self._spawn()
            self.send(self._in_flight.with_child())

    def _kill_stuck_start(self, now: float) -> None:
        if self._child is not None and self._startup.hangs(now):
            self._child.kill()

    # ── jobs ──

    def send(self, jobs: Iterable[InFlightJob]) -> None:
        """Send jobs to the child; while it is being replaced they wait for the next one."""
        if self._child is None or self._retiring:
            return
        if packed := [protocol.pack_job(job.frame()) for job in jobs]:
            self._child.send(protocol.write_frame(MessageKind.JOBS, packed))

    def pump(self, timeout: float) -> None:
        if self._child is not None:
            self._child.pump(timeout)

    def disown(self, slots: list[int]) -> None:
        """Give up jobs that are not ours any more: the child begins none; running ones must stop, and keep their limits."""
        if slots and self._child is not None:
            packed = [protocol.pack_slots(slots)]
            self._child.send(
                protocol.write_frame(MessageKind.DISCARD, packed) + protocol.write_frame(MessageKind.CANCEL, packed)
            )
        self._messages.disowned(slots)

    def release(self, slots: list[int]) -> None:
        """Release the jobs that the child has not begun. Only it knows which: its DISCARDED calls InFlightJobs.release."""
        if self._child is None:
            self._in_flight.release(slots)
        elif slots:
            self._child.send(protocol.write_frame(MessageKind.DISCARD, [protocol.pack_slots(slots)]))

    def cancel(self, slots: Iterable[int]) -> None:
        """Cancel jobs. A waiting one is answered at once; a running one is asked to stop, and after the policy's grace its
        process is killed. Slots whose jobs are answered already are left out."""
        with_child = []
        for job in filter(None, map(self._in_flight.get, slots)):
            if self._child is None or job.state in SET_ASIDE:
                job.mark_cancelled()  # no child has it, so the next one only answers it
            else:
                with_child.append(job.slot)
        if with_child and self._child is not None:
            self._messages.cancelled(with_child, None if self._grace_s is None else time.monotonic() + self._grace_s)
            self._child.send(protocol.write_frame(MessageKind.CANCEL, [protocol.pack_slots(with_child)]))

    def refuse_for_size(self, job: InFlightJob) -> None:
        """Kafka refused the job's result for its size: the child makes a small one. From the publisher's thread."""
        self._in_flight.too_large(job)
        self._refused.append(job)

    # ── limits ──

    def tick(self, now: float) -> list[ProgressUpdate]:
        """Look after the child; return progress to publish. Raises StartupError when it can't be kept alive."""
        if self._child is not None:
            self._kill_stuck_start(now)
            self._watch.look(self._child, now, self._messages.drained_at)
        self._recover_if_ended()
        self._kill_if_useless(now)
        if self._child is None:
            self._restart(now)
            return []
        while self._refused:
            self.send([self._refused.popleft()])
        self._messages.report_text(now)
        overdue, updates, long = self._messages.due(now)
        if self._grace_s is not None:
            self._messages.set_deadlines(long, now, self._grace_s, self._deadline)
        if overdue:
            self._kill_for(overdue)
        elif not self._retiring and self.ready is not None:
            self._retire_if_due()
        return updates

    def _retire_if_due(self) -> None:
        """Ask a child that has served long enough to finish what runs and to end. Its successor gets what waits."""
        reason = self._recycle_policy.reason(self._messages.answered, self.resident)
        if reason is None or self._child is None:
            return
        log.info(
            "child_recycled",
            processor=self._config.processor,
            child=self._child.pid,
            reason=reason,
            jobs=self._messages.answered,
            resident=self.resident,
        )
        self._retiring = True
        self._child.send(protocol.write_frame(MessageKind.RETIRE, []))

    # ── crashes ──

    def _kill_if_useless(self, now: float) -> None:
        """Kill a child whose device fails, or that uses too much memory. The jobs that ran in it are suspects."""
        if self._child is None:
            return
        if self._messages.is_lost:  # it may not end by itself: its threads may wait for the device
            self._kill_for({})
        elif self._watch.over_limit(self._child, now, self._messages.ready, self._recycle_policy.resident):
            jobs = self._in_flight.with_child()
            self._kill_for({job.slot: ErrorCode.OUT_OF_MEMORY for job in jobs if job.state is JobState.RUNNING})

    def _kill_for(self, overdue: dict[int, ErrorCode]) -> None:
        """Kill the child for these jobs."""
        assert self._child is not None
        log.warning("child_killed", child=self._child.pid, reasons=sorted(set(overdue.values())), jobs=len(overdue))
        self._child.kill()
        self._child.read_out()  # handle all its messages first: a job that was done just in time is not to blame
        self._recover(overdue)

    def _recover_if_ended(self) -> None:
        if self._messages.has_ended and self._child is not None:
            self._recover(None)

    def _recover(self, overdue: dict[int, ErrorCode] | None) -> None:
        """The child is gone: update its jobs and start another. `overdue`: the jobs we killed it for; None: it ended by
        itself."""
        assert self._child is not None
        status, pid = self._child.reap(), self._child.pid
        self._child = None
        if (broken := self._messages.broken) is not None:
            raise StartupError(
                f"{broken.message}\n(Its process ended: {describe_exit(status)}.)", next_step=broken.next_step
            )
        retired = self._retiring and overdue is None and (status == 0 or self._messages.drained_at is not None)
        now = time.monotonic()
        self._start_at = now + self._startup.ended(pid, status, now)
        jobs = self._in_flight.with_child()
        running = [job for job in jobs if job.state is JobState.RUNNING or (overdue and job.slot in overdue)]
        cancelled = self._messages.forget()
        if retired:
            self._in_flight.requeue(running)
            self.recycled += 1
        else:
            if self._messages.device_suspects is not None:
                self._in_flight.device_lost(running, self._messages.device_suspects)
            elif (suspects := self._messages.crash_suspects) is not None:
                self._in_flight.killed_for([job for job in running if job.slot not in suspects], {})
                self._in_flight.crashed([job for job in running if job.slot in suspects], self._executions)
            elif overdue is None:
                self._in_flight.crashed(running, self._executions)
            else:
                self._in_flight.killed_for(running, overdue)
            self.restarts += 1
            log.warning(
                "child_died", processor=self._config.processor, status=status, jobs=len(jobs), running=len(running)
            )
        for job in jobs:
            if job.slot in cancelled:
                job.mark_cancelled()
        self._restart(now)
