"""Executes batches: keeps the jobs that wait, takes in what the parent sends, and has the steps that all executors share.

Everything reaches an executor through one inbox: frames from the parent, and what its CPU threads have finished. A cancel alone
does not wait its turn: the thread that reads the pipe answers waiting jobs while the device works on.

`inline.py` does all steps in the device's own thread; `pipelined.py` prepares and finishes beside it.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from schemas.errors import ErrorCode
from schemas.states import Disposition
from streams import logs
from streams.worker.child.batcher import Batcher
from streams.worker.child.channel import Inbox, ParentChannel, fetch_schema
from streams.worker.child.fair_queue import FairQueue
from streams.worker.child.job_runner import DeviceLost, JobRunner, hard_limit
from streams.worker.child.task import Task
from streams.worker.child.versions import key_name
from streams.worker.protocol import Answer, Flag, JobFrame, MessageKind, unpack_jobs, unpack_slots

log = logs.get("worker")

#: The answers of one batch are sent together as long as that delays none of them longer than this.
MAX_ANSWER_DELAY_S = 0.02


class BatchExecutor(ABC):
    """The queues are touched by the threads that work and by `cancel`, each with the lock."""

    def __init__(self, runner: JobRunner, channel: ParentChannel) -> None:
        self._runner = runner
        self._channel = channel
        self._policy = runner.models.default.policy
        self._lock = threading.Lock()  # guards the queues; taken once per batch
        self._isolated: deque[JobFrame] = deque()
        self._waiting: FairQueue[JobFrame] = FairQueue(self._policy.lanes)  # to be opened
        self._ready: Batcher[Task] = Batcher(self._policy.batch, self._policy.lanes, runner.models.batch_policy)
        self._max_ready = (
            2 * runner.models.largest_batch
        )  # prepared jobs cost memory: the batch that runs, and the next one
        self._on_device: set[int] = set()  # slots that the device has begun, until they are answered
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
        elif isinstance(event, Task):
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

    def _add_prepared(self, task: Task) -> None:
        self._ready.add(task, time.monotonic(), task.frame.lane, task.batch_key, task.cost)

    def _discard(self, slots: frozenset[int]) -> None:
        """Discard jobs that the device has not begun, and report which: another worker is to run those."""
        frames, tasks = self._remove(slots)
        for task in tasks:
            self._unfinished -= 1
            self._runner.discard(task)
        self._channel.discarded([frame.slot for frame in frames] + [task.frame.slot for task in tasks])

    def _remove(self, slots: Iterable[int]) -> tuple[list[JobFrame], list[Task]]:
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
        answers = [self._runner.cancel_waiting(task) for task in tasks]
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

    # ── the steps ──

    def _run_inline(self, frames: list[JobFrame]) -> None:
        """Do all steps in this thread: for light work, or for a job that must be alone in the process.

        Jobs that must not run are answered before anything runs: else they would seem to run as long as their neighbours, and
        the process would be killed for them, again and again.
        """
        frames = [frame for frame in frames if self._readable(frame)]
        if not frames:
            return
        self._channel.started([frame.slot for frame in frames], self._policy.limits.hard_ms)
        if frames[0].flags & Flag.TEST and (answer := self._runner.warm_up(frames[0])) is not None:
            self._channel.answers([answer])
            return
        refused: list[Answer] = []
        opened = [task for frame in frames if (task := self._open(frame, refused)) is not None]
        self._channel.answers(refused)
        tasks = self._not_expired([task for task in opened if self._prepare_task(task)])
        if tasks:
            outcomes = self._run(tasks)
            if frames[0].flags & Flag.ISOLATED:
                self._prove_device(tasks)
            self._finish_all(tasks, outcomes)

    def _open_and_prepare(self, frame: JobFrame) -> Task | None:
        """Return a task for the device; None for a job that was answered, or that waits for its schema."""
        if not self._readable(frame):
            return None
        self._channel.started([frame.slot], None)
        task = self._runner.open(frame)
        if isinstance(task, Answer):
            self._channel.answers([task])
            return None
        self._restart_limits([task])
        if not self._prepare_task(task):
            return None
        if hard_limit(task) is not None:
            self._channel.started([frame.slot], None)  # its hard limit rests while it waits for the device
        if task.job.header.deadline is not None:
            self._channel.prepared([frame.slot])
        return task

    def _open(self, frame: JobFrame, answers: list[Answer]) -> Task | None:
        opened = self._runner.open(frame)
        if isinstance(opened, Answer):
            answers.append(opened)
            return None
        limit_ms = opened.job.header.hard_limit_ms
        if limit_ms is not None:
            self._channel.started([frame.slot], limit_ms)
        return opened

    def _prepare_task(self, task: Task) -> bool:
        """Prepare a task. If that fails, or an earlier output is reused, answer it and return False."""
        try:
            answer = self._runner.prepare(task)
        except DeviceLost as lost:
            self._report_lost([task], lost)
            raise
        if answer is not None:
            self._channel.answers([answer])
        return answer is None

    def _not_expired(self, tasks: list[Task]) -> list[Task]:
        """Return the tasks that the device may begin. Those whose deadline passed while they waited for it are answered."""
        expired = self._runner.expired(tasks)
        if not expired:
            return tasks
        self._channel.answers(list(expired.values()))
        return [task for task in tasks if task.frame.slot not in expired]

    def _finish_all(self, tasks: Sequence[Task], outcomes: Sequence[Any]) -> None:
        """Finish tasks one after the other. The answer of a job with a deadline does not wait for the next one's."""
        answers: list[Answer] = []
        sent_at = time.monotonic()
        for task, outcome in zip(tasks, outcomes, strict=True):
            answer = self._finish_task(task, outcome)
            answers.append(answer)
            urgent = task.job.header.deadline is not None or answer.disposition is Disposition.CANCELLED
            if urgent or time.monotonic() - sent_at >= MAX_ANSWER_DELAY_S:
                self._send_finished(answers)
                answers, sent_at = [], time.monotonic()
        self._send_finished(answers)

    def _send_finished(self, answers: list[Answer]) -> None:
        self._channel.answers(answers)
        self._on_device.difference_update([answer.slot for answer in answers])

    def _finish_task(self, task: Task, outcome: Any) -> Answer:
        try:
            answer = self._runner.finish(task, outcome)
        except DeviceLost as lost:
            self._report_lost([task], lost)
            raise
        return answer

    def _run(self, tasks: Sequence[Task]) -> list[Any]:
        self._on_device.update([task.frame.slot for task in tasks])
        try:
            return self._runner.run(tasks, self._on_out_of_memory, self._restart_limits)
        except DeviceLost as lost:
            self._report_lost(tasks, lost)
            raise

    def _prove_device(self, tasks: Sequence[Task]) -> None:
        """Prove the device after tasks that ran alone, although they did not fail: it may be one of them that breaks it."""
        try:
            self._runner.prove_device(tasks)
        except DeviceLost as lost:
            self._report_lost(tasks, lost)
            raise

    def _report_lost(self, tasks: Sequence[Task], lost: DeviceLost) -> None:
        """Name the suspects: a kernel's error may show late, so these tasks and all other jobs that the device has begun."""
        suspects = self._on_device.copy().union(task.frame.slot for task in tasks)
        self._channel.device_lost(sorted(suspects), str(lost))

    def _restart_limits(self, tasks: Sequence[Task]) -> None:
        """Start hard limits again, and the watch on deadlines. A hard limit is for one run on the device: the wait for the
        device does not count, nor do the runs that look for a bad neighbour."""
        by_limit: dict[int | None, list[int]] = {}
        for task in tasks:
            limit_ms = hard_limit(task)
            if limit_ms is not None or task.job.header.deadline is not None:
                by_limit.setdefault(limit_ms, []).append(task.frame.slot)
        for limit_ms, slots in by_limit.items():
            self._channel.started(slots, limit_ms)

    def _on_out_of_memory(self, tasks: Sequence[Task]) -> None:
        """Reduce the batch limit of this batch key: the device could not hold these tasks together."""
        key, cost = tasks[0].batch_key, sum(task.cost for task in tasks)
        with self._lock:
            self._ready.reduce_limit((len(tasks) + 1) // 2, key, cost / 2)
            max_size, max_cost = self._ready.max_size(key), self._ready.max_cost(key)
        bucket = key_name(key)
        log.warning("out_of_memory", batch_size=len(tasks), bucket=bucket, max_size=max_size, max_cost=max_cost)
        self._channel.batch_limit(bucket, max_size, max_cost)

    def _readable(self, frame: JobFrame) -> bool:
        """True if the job can be decoded without asking the registry; else it waits aside and the others go on."""
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
