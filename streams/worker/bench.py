"""The child's workbench: what runs now, what waits. It owns the device's thread; with `policy.threads`, CPU work overlaps.

Everything that happens reaches it through one inbox: frames from the parent, and what the CPU threads have finished. Only a
cancel does not wait its turn: what waits is answered by the thread that hears it, while the device works on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from processors.policy import Policy
from schemas.errors import ErrorCode, Unreachable
from streams import logs
from streams.batcher import Batcher
from streams.worker.frames import Answer, Flag, JobFrame, Kind, unpack_jobs, unpack_slots
from streams.worker.intake import Task
from streams.worker.workshop import Workshop

log = logs.get("worker")

RETRY_S = 1.0


class Outbox(Protocol):
    """Where the bench says what it does. Thread-safe."""

    def started(self, slots: list[int], hard_ms: int | None) -> None: ...

    def answers(self, answers: list[Answer]) -> None: ...

    def dropped(self, slots: list[int]) -> None: ...


#: Frames from the parent, a JobFrame that comes back after waiting for its schema, a Task that is prepared, the number of
#: jobs that the CPU threads are through with, an exception that ends the process; None when the parent's pipe is closed.
Inbox = SimpleQueue[Any]


class Bench:
    """`open` before `work`. What waits is touched by the device's thread and by `cancel`, each with the lock."""

    def __init__(self, policy: Policy, outbox: Outbox) -> None:
        self._policy = policy
        self._outbox = outbox
        self._lock = threading.Lock()  # guards the three queues; taken once a batch
        self._ready: Batcher[Any] = Batcher(policy.batch)  # frames; with threads, prepared tasks
        self._waiting: deque[JobFrame] = deque()  # with threads: not yet given to one
        self._alone: deque[JobFrame] = deque()
        self._busy = 0  # jobs that CPU threads have, or that wait prepared
        self._fetcher = ThreadPoolExecutor(1, "fetch")
        self._pool = ThreadPoolExecutor(policy.threads, "prepare") if policy.threads else None

    def open(self, shop: Workshop) -> None:
        self._shop = shop

    def out_of_memory(self, tasks: Sequence[Task]) -> None:
        """The device could not hold these together."""
        self._ready.lower((len(tasks) + 1) // 2)
        log.warning("out_of_memory", batch_size=len(tasks), batch_size_from_now=self._ready.ceiling())

    def work(self, inbox: Inbox) -> None:
        """Until the parent closes its pipe."""
        self._inbox = inbox
        while self._absorb():
            self._step()

    # ── what comes in ──

    def _absorb(self) -> bool:
        """Take in what has happened; waits only while there is nothing to do. False at the end."""
        try:
            event = self._inbox.get(block=not self._could_work())
            with self._lock:
                while event is not None:
                    self._take_in(event)
                    event = self._inbox.get_nowait()
        except Empty:
            return True
        return False

    def _could_work(self) -> bool:
        if self._pool is None:
            return bool(self._alone or len(self._ready))
        return bool(len(self._ready) or (self._alone and not self._busy) or self._may_start())

    def _take_in(self, event: Any) -> None:
        if isinstance(event, JobFrame):
            self._enqueue(event)
        elif isinstance(event, Task):
            self._ready.add(event, time.monotonic())
        elif isinstance(event, int):
            self._busy -= event
        elif isinstance(event, BaseException):
            raise event
        elif event[0] is Kind.JOBS:
            for frame in unpack_jobs(event[1]):
                self._enqueue(frame)
        elif event[0] is Kind.DROP:
            self._drop(frozenset(unpack_slots(event[1])))

    def _enqueue(self, frame: JobFrame) -> None:
        if self._shop.stops and self._shop.stops.asked(frame.slot):
            frame = _called_off(frame)
        if frame.flags & Flag.ALONE:
            self._alone.append(frame)
        elif self._pool is None:
            self._ready.add(frame, time.monotonic())
        else:
            self._waiting.append(frame)

    def _drop(self, slots: frozenset[int]) -> None:
        """Take out what has not begun, and say which: a worker that stops must know what another is to run instead."""
        dropped = [frame.slot for frame in (*self._waiting, *self._alone) if frame.slot in slots]
        self._waiting = deque(frame for frame in self._waiting if frame.slot not in slots)
        self._alone = deque(frame for frame in self._alone if frame.slot not in slots)
        if self._pool is None:
            dropped += [frame.slot for frame in self._ready.drop(lambda frame: frame.slot in slots)]
        self._outbox.dropped(dropped)

    # ── cancel (the thread that hears the parent) ──

    def cancel(self, inbox: Inbox, slots: Iterable[int]) -> None:
        """These are to stop: those that wait are answered now, those that run are told. Work that has begun goes on."""
        asked = set(slots)
        self._inbox = inbox
        with self._lock:
            self._take_in_early()
            frames, tasks = self._take_out(asked)
            self._shop.stops.ask(asked)
        answers = [self._shop.cancelled(task) for task in tasks]
        for frame in frames:
            self._answer_called_off(_called_off(frame), answers)
        self._outbox.answers(answers)
        inbox.put(len(tasks))  # this also wakes the device's thread, which may wait though we have filled its queues

    def _answer_called_off(self, frame: JobFrame, answers: list[Answer]) -> None:
        if self._readable(frame) and isinstance(answer := self._shop.open(frame), Answer):
            answers.append(answer)

    def _take_in_early(self) -> None:
        """A job may still be in the inbox."""
        faults = []
        with suppress(Empty):
            while True:
                event = self._inbox.get_nowait()
                if event is None or isinstance(event, BaseException):
                    faults.append(event)  # ends the process, from the device's thread
                else:
                    self._take_in(event)
        for fault in faults:
            self._inbox.put(fault)

    def _take_out(self, asked: set[int]) -> tuple[list[JobFrame], list[Task]]:
        """Take the jobs in these slots from the queues."""
        frames = [frame for frame in (*self._waiting, *self._alone) if frame.slot in asked]
        self._waiting = deque(frame for frame in self._waiting if frame.slot not in asked)
        self._alone = deque(frame for frame in self._alone if frame.slot not in asked)
        tasks: list[Task] = []
        for found in self._ready.drop(lambda item: _slot(item) in asked):
            tasks.append(found) if isinstance(found, Task) else frames.append(found)
        asked.difference_update(frame.slot for frame in frames)
        asked.difference_update(task.frame.slot for task in tasks)
        return frames, tasks

    # ── what is done ──

    def _step(self) -> None:
        with self._lock:
            if self._alone and not self._busy:
                batch: list[Any] = [self._alone.popleft()]
                inline = True
            else:
                inline = self._pool is None
                batch = self._ready.take(time.monotonic(), idle=True)
                if self._pool is not None:
                    self._start_preparing(self._pool)
        if inline:
            self._run_inline(batch)
        elif self._pool is not None:
            self._run_prepared(self._pool, batch)

    def _run_inline(self, frames: list[JobFrame]) -> None:
        """All steps in this thread: light work, or a job that must be alone in the process."""
        frames = [frame for frame in frames if self._readable(frame)]
        if not frames:
            return
        self._announce([frame.slot for frame in frames])
        answers: list[Answer] = []
        tasks = [task for frame in frames if (task := self._opened(frame, answers)) is not None]
        tasks = [task for task in tasks if not self._refused(task, answers)]
        if tasks:
            outcomes = self._shop.run(tasks)
            answers += map(self._shop.finish, tasks, outcomes)
        self._outbox.answers(answers)

    def _opened(self, frame: JobFrame, answers: list[Answer]) -> Task | None:
        opened = self._shop.open(frame)
        if isinstance(opened, Answer):
            answers.append(opened)
            return None
        limit = opened.job.header.hard_limit_ms
        if limit is not None:
            self._outbox.started([frame.slot], limit)
        return opened

    def _refused(self, task: Task, answers: list[Answer]) -> bool:
        answer = self._shop.prepare(task)
        if answer is not None:
            answers.append(answer)
        return answer is not None

    def _announce(self, slots: list[int]) -> None:
        self._outbox.started(slots, self._policy.limits.hard_ms)

    # ── unseen schemas ──

    def _readable(self, frame: JobFrame) -> bool:
        """Whether the job can be read without asking the registry; else it waits aside and the others go on."""
        if self._shop.can_read(frame):
            return True
        self._submit(self._fetcher, self._fetch, frame)
        return False

    def _fetch(self, frame: JobFrame) -> None:
        """Reads it with the registry's help. Then it runs like any other, or its answer says what is wrong with it."""
        try:
            opened = self._shop.open(frame)
        except Unreachable as error:
            log.warning("waiting_for_registry", reason=error.message)
            timer = threading.Timer(RETRY_S, self._inbox.put, [frame])
            timer.daemon = True
            timer.start()
        else:
            if isinstance(opened, Answer):
                self._outbox.answers([opened])
            else:
                self._inbox.put(frame)

    # ── with CPU threads ──

    def _may_start(self) -> bool:
        """Prepared jobs cost memory: hold the batch that runs, the next one and what the threads are at, no more."""
        room = 2 * self._ready.ceiling() + self._policy.threads
        return bool(self._waiting) and not self._alone and self._busy < room

    def _start_preparing(self, pool: ThreadPoolExecutor) -> None:
        while self._may_start():
            self._busy += 1
            self._submit(pool, self._prepare, self._waiting.popleft())

    def _prepare(self, frame: JobFrame) -> None:
        if not self._readable(frame):
            self._inbox.put(1)
            return
        self._announce([frame.slot])
        answers: list[Answer] = []
        task = self._opened(frame, answers)
        if task is None or self._refused(task, answers):
            self._outbox.answers(answers)
            self._inbox.put(1)
        else:
            self._inbox.put(task)

    def _run_prepared(self, pool: ThreadPoolExecutor, tasks: list[Task]) -> None:
        if not tasks:
            return
        for task in tasks:  # the limit is on the device's work, not on the wait for it
            limit = self._shop.hard_limit(task.job.header)
            self._outbox.started([task.frame.slot], limit)
        outcomes = self._shop.run(tasks)
        for task, outcome in zip(tasks, outcomes, strict=True):
            self._submit(pool, self._finish, task, outcome)

    def _submit(self, pool: ThreadPoolExecutor, step: Callable[..., None], *args: Any) -> None:
        """A fault of the engine's own in a thread must end the process, not vanish in a future."""
        pool.submit(step, *args).add_done_callback(self._surface)

    def _surface(self, future: Future[None]) -> None:
        if (error := future.exception()) is not None:
            self._inbox.put(error)

    def _finish(self, task: Task, outcome: Any) -> None:
        self._outbox.answers([self._shop.finish(task, outcome)])
        self._inbox.put(1)


def _slot(item: JobFrame | Task) -> int:
    return item.frame.slot if isinstance(item, Task) else item.slot


def _called_off(frame: JobFrame) -> JobFrame:
    """The same job, to be answered as cancelled and not to be run."""
    if frame.flags & Flag.VERDICT:
        return frame  # its end is known already
    return frame._replace(flags=frame.flags | Flag.VERDICT, verdict=ErrorCode.CANCELLED.encode())
