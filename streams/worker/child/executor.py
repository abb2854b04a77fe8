"""Executes batches: keeps the jobs that wait, and takes in what the parent sends. The steps are in `steps.py`.

Everything reaches an executor through one inbox: frames from the parent, and what its CPU threads have finished. A cancel alone
does not wait its turn: the thread that reads the pipe answers waiting jobs while the device works on.

`inline.py` does all steps in the device's own thread; `pipelined.py` prepares and finishes beside it, in threads
(`threaded.py`) or in helper processes (`helped.py`, whose `helper.py` is the executor there).
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from schemas.errors import ErrorCode, JobCancelled
from streams import logs
from streams.worker.child.batcher import Batcher
from streams.worker.child.channel import Inbox, ParentChannel, fetch_schema
from streams.worker.child.fair_queue import FairQueue
from streams.worker.child.job_runner import JobRunner
from streams.worker.child.steps import JobSteps
from streams.worker.child.task import DeviceTask
from streams.worker.child.versions import key_name
from streams.worker.protocol import Answer, Flag, JobFrame, MessageKind, unpack_jobs, unpack_slots

log = logs.get("worker")


class BatchExecutor(JobSteps):
    """The queues are touched by the threads that work and by `cancel`, each with the lock."""

    def __init__(self, runner: JobRunner, channel: ParentChannel) -> None:
        super().__init__(runner, channel)
        self._lock = threading.Lock()  # guards the queues; taken once per batch
        self._isolated: deque[JobFrame] = deque()
        self._waiting: FairQueue[JobFrame] = FairQueue(self._policy.lanes)  # to be opened
        self._ready: Batcher[DeviceTask] = Batcher(self._policy.batch, self._policy.lanes, runner.models.batch_policy)
        #: Prepared jobs cost memory: the batch that runs, and the next one.
        self._max_ready = 2 * runner.models.largest_batch
        self._unfinished = 0  # jobs between the start of `prepare` and the end of `finish`
        self._inbox: Inbox = SimpleQueue()
        self._fetcher = ThreadPoolExecutor(1, "fetch")

    @abstractmethod
    def work(self, inbox: Inbox) -> None:
        """Run jobs until the parent closes its pipe. Raises an error that must end the process."""

    # ── incoming events (with the lock) ──

    def _handle(self, event: Any) -> None:
        if isinstance(event, JobFrame):
            self._enqueue(event)
        elif isinstance(event, DeviceTask):
            self._add_prepared(event)
        elif isinstance(event, int):
            self._unfinished -= event
        elif isinstance(event, BaseException):
            raise event
        elif event[0] is MessageKind.JOBS:
            for frame in unpack_jobs(event[1]):
                self._enqueue(frame)
        elif event[0] is MessageKind.DISCARD:
            self._discard(frozenset(unpack_slots(event[1])))

    def _enqueue(self, frame: JobFrame) -> None:
        if self._runner.cancelled and frame.slot in self._runner.cancelled:
            frame = _as_cancelled(frame)
        if frame.flags & Flag.ISOLATED:
            self._isolated.append(frame)
        else:
            self._waiting.add(frame, frame.lane)

    def _add_prepared(self, task: DeviceTask) -> None:
        self._ready.add(task, time.monotonic(), task.frame.lane, task.batch_key, task.cost)

    def _discard(self, slots: frozenset[int]) -> None:
        """Discard jobs that the device has not begun, and report which: another worker is to run those."""
        frames, tasks = self._remove(slots)
        for task in tasks:
            self._unfinished -= 1
            self._forget(task)
        self._channel.discarded([frame.slot for frame in frames] + [task.frame.slot for task in tasks])

    def _remove(self, slots: Iterable[int]) -> tuple[list[JobFrame], list[DeviceTask]]:
        """Remove the jobs in these slots from the queues."""
        frames = [frame for frame in self._isolated if frame.slot in slots]
        self._isolated = deque(frame for frame in self._isolated if frame.slot not in slots)
        frames += self._waiting.remove(lambda frame: frame.slot in slots)
        return frames, self._ready.remove(lambda task: task.frame.slot in slots)

    # ── cancel (from the thread that reads the pipe) ──

    def cancel(self, inbox: Inbox, slots: Iterable[int]) -> None:
        """Cancel jobs: those that wait are answered now, those that run find out by their context. The device works on."""
        running = set(slots)
        self._inbox = inbox
        with self._lock:
            self._handle_inbox()
            frames, tasks = self._remove(running)
            running -= {frame.slot for frame in frames} | {task.frame.slot for task in tasks}
            self._runner.cancelled.add(running)
        answers = [
            self._fail(task, JobCancelled("The job was cancelled before it reached the device.")) for task in tasks
        ]
        readable = [frame for frame in map(_as_cancelled, frames) if self._readable(frame)]
        answers += [answer for frame in readable if isinstance(answer := self._runner.open(frame), Answer)]
        self._channel.answers(answers)
        inbox.put(len(tasks))  # also wakes a thread that waits for work, although this one has filled its queues

    def _handle_inbox(self) -> None:
        """Handle the inbox, since a cancelled job may be in it. Events that end the process are left to the device's thread."""
        ends = []
        with suppress(Empty):
            while True:
                event = self._inbox.get_nowait()
                if event is None or isinstance(event, BaseException):
                    ends.append(event)
                else:
                    self._handle(event)
        for event in ends:
            self._inbox.put(event)

    # ── for the steps ──

    def _on_out_of_memory(self, tasks: Sequence[DeviceTask]) -> None:
        key, cost = tasks[0].batch_key, sum(task.cost for task in tasks)
        with self._lock:
            self._ready.reduce_limit((len(tasks) + 1) // 2, key, cost / 2)
            max_size, max_cost = self._ready.max_size(key), self._ready.max_cost(key)
        bucket = key_name(key)
        log.warning("out_of_memory", batch_size=len(tasks), bucket=bucket, max_size=max_size, max_cost=max_cost)
        self._channel.batch_limit(bucket, max_size, max_cost)

    def _readable(self, frame: JobFrame) -> bool:
        if self._runner.can_read(frame):
            return True
        self._submit(self._fetcher, self._fetch_schema, frame)
        return False

    def _fetch_schema(self, frame: JobFrame) -> None:
        fetch_schema(self._runner, frame, self._channel, self._inbox)

    def _submit(self, pool: ThreadPoolExecutor, step: Callable[..., None], *args: Any) -> None:
        """Run a step in a thread. An error of the engine's own there must end the process, not vanish in a future."""
        pool.submit(step, *args).add_done_callback(self._report_error)

    def _report_error(self, future: Future[None]) -> None:
        if (error := future.exception()) is not None:
            self._inbox.put(error)


def _as_cancelled(frame: JobFrame) -> JobFrame:
    """Return the frame of a job that is answered as cancelled and does not run."""
    if frame.flags & Flag.REJECTED:
        return frame  # its error is known already
    return frame._replace(flags=frame.flags | Flag.REJECTED, error_code=ErrorCode.CANCELLED.encode())
