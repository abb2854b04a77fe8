"""The child's workbench: what waits, what comes in, and the steps that every way of working shares.

Everything that happens reaches it through one inbox: frames from the parent, and what the CPU threads have finished. Only a
cancel does not wait its turn: what waits is answered by the thread that hears it, while the device works on.

`inline.py` does all steps in the device's own thread; `overlap.py` prepares and finishes beside it.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from schemas.errors import ErrorCode, Unreachable
from schemas.states import Disposition
from streams import logs
from streams.worker.child.batcher import Batcher
from streams.worker.child.decode import Task
from streams.worker.child.fair_queue import FairQueue
from streams.worker.child.job_runner import JobRunner, hard_limit
from streams.worker.protocol import Answer, Flag, JobFrame, MessageKind, unpack_jobs, unpack_slots

log = logs.get("worker")

RETRY_S = 1.0
#: Answers of one batch go together as long as that keeps none of them longer than this.
HELD_S = 0.02


class ParentChannel(Protocol):
    """Where the bench says what it does. Thread-safe."""

    def started(self, slots: list[int], hard_ms: int | None) -> None: ...

    def prepared(self, slots: list[int]) -> None:
        """These wait for the device now: until they are started again their process is not killed for them."""
        ...

    def answers(self, answers: list[Answer]) -> None: ...

    def dropped(self, slots: list[int]) -> None: ...

    def ceiling(self, bucket: str, max_size: int, max_cost: float | None) -> None:
        """The device ran out of memory: from now on no batch of this bucket is larger or dearer."""
        ...


#: Frames from the parent, a JobFrame that comes back after waiting for its schema, a Task that is prepared, the number of
#: jobs that the CPU threads are through with, an exception that ends the process; None when the parent's pipe is closed.
Inbox = SimpleQueue[Any]


class BatchExecutor(ABC):
    """What waits is touched by the threads that work and by `cancel`, each with the lock."""

    def __init__(self, shop: JobRunner, outbox: ParentChannel) -> None:
        self._shop = shop
        self._outbox = outbox
        self._policy = shop.models.default.policy
        self._lock = threading.Lock()  # guards the queues; taken once a batch
        self._alone: deque[JobFrame] = deque()
        self._waiting: FairQueue[JobFrame] = FairQueue(self._policy.lanes)  # to be prepared
        self._ready: Batcher[Any] = Batcher(self._policy.batch, self._policy.lanes, shop.models.batch_of)
        self._room = 2 * shop.models.largest_batch  # prepared jobs cost memory: the batch that runs, and the next one
        self._busy = 0  # jobs between the start of `prepare` and the end of `finish`
        self._inbox: Inbox = SimpleQueue()
        self._fetcher = ThreadPoolExecutor(1, "fetch")

    @abstractmethod
    def work(self, inbox: Inbox) -> None:
        """Until the parent closes its pipe. Raises what must end the process."""

    # ── what comes in (with the lock) ──

    def _take_in(self, event: Any) -> None:
        if isinstance(event, JobFrame):
            self._enqueue(event)
        elif isinstance(event, Task):
            self._add_prepared(event)
        elif isinstance(event, int):
            self._busy -= event
        elif isinstance(event, BaseException):
            raise event
        elif event[0] is MessageKind.JOBS:
            for frame in unpack_jobs(event[1]):
                self._enqueue(frame)
        elif event[0] is MessageKind.DROP:
            self._drop(frozenset(unpack_slots(event[1])))

    def _enqueue(self, frame: JobFrame) -> None:
        if self._shop.stops and self._shop.stops.asked(frame.slot):
            frame = _called_off(frame)
        if frame.flags & Flag.ISOLATED:
            self._alone.append(frame)
        else:
            self._queue(frame)

    def _queue(self, frame: JobFrame) -> None:
        self._waiting.add(frame, frame.lane)

    def _add_prepared(self, task: Task) -> None:
        self._ready.add(task, time.monotonic(), task.frame.lane, task.bucket, task.cost)

    def _drop(self, slots: frozenset[int]) -> None:
        """Take out what the device has not begun, and say which: a worker that stops must know what another is to run."""
        frames, tasks = self._take_out(slots)
        for task in tasks:
            self._busy -= 1
            self._shop.forget(task)
        self._outbox.dropped([frame.slot for frame in frames] + [task.frame.slot for task in tasks])

    def _take_out(self, slots: Iterable[int]) -> tuple[list[JobFrame], list[Task]]:
        """Take the jobs in these slots from the queues."""
        frames = [frame for frame in self._alone if frame.slot in slots]
        self._alone = deque(frame for frame in self._alone if frame.slot not in slots)
        frames += self._waiting.drop(lambda frame: frame.slot in slots)
        tasks: list[Task] = []
        for found in self._ready.drop(lambda item: _slot(item) in slots):
            tasks.append(found) if isinstance(found, Task) else frames.append(found)
        return frames, tasks

    # ── cancel (the thread that hears the parent) ──

    def cancel(self, inbox: Inbox, slots: Iterable[int]) -> None:
        """These are to stop: those that wait are answered now, those that run are told. Work that has begun goes on."""
        asked = set(slots)
        self._inbox = inbox
        with self._lock:
            self._take_in_early()
            frames, tasks = self._take_out(asked)
            asked -= {frame.slot for frame in frames} | {task.frame.slot for task in tasks}
            self._shop.stops.ask(asked)
        answers = [self._shop.cancelled(task) for task in tasks]
        for frame in frames:
            self._answer_called_off(_called_off(frame), answers)
        self._outbox.answers(answers)
        inbox.put(len(tasks))  # this also wakes a thread that waits for work, though we have filled its queues

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

    # ── the steps ──

    def _run_inline(self, frames: list[JobFrame]) -> None:
        """All steps in this thread: light work, or a job that must be alone in the process.

        What is not to run is answered before anything runs: a job whose end is known must not seem to run for as long as
        its neighbours do, else the process would be killed for it, and again for it in the next one.
        """
        frames = [frame for frame in frames if self._readable(frame)]
        if not frames:
            return
        self._outbox.started([frame.slot for frame in frames], self._policy.limits.hard_ms)
        refusals: list[Answer] = []
        opened = [task for frame in frames if (task := self._opened(frame, refusals)) is not None]
        self._outbox.answers(refusals)
        tasks = self._in_time([task for task in opened if not self._refused(task)])
        if tasks:
            self._finish_all(tasks, self._run(tasks))

    def _prepared(self, frame: JobFrame) -> Task | None:
        """A task that may go to the device; None for a job that was answered, or that waits for its schema."""
        if not self._readable(frame):
            return None
        self._outbox.started([frame.slot], None)
        task = self._shop.open(frame)
        if isinstance(task, Answer):
            self._outbox.answers([task])
            return None
        self._limit_anew([task])
        answer = self._shop.prepare(task)
        if answer is not None:
            self._outbox.answers([answer])
            return None
        if hard_limit(task) is not None:
            self._outbox.started([frame.slot], None)  # while it waits for the device its time does not pass
        if task.job.header.deadline is not None:
            self._outbox.prepared([frame.slot])
        return task

    def _opened(self, frame: JobFrame, answers: list[Answer]) -> Task | None:
        opened = self._shop.open(frame)
        if isinstance(opened, Answer):
            answers.append(opened)
            return None
        limit = opened.job.header.hard_limit_ms
        if limit is not None:
            self._outbox.started([frame.slot], limit)
        return opened

    def _refused(self, task: Task) -> bool:
        answer = self._shop.prepare(task)
        if answer is not None:
            self._outbox.answers([answer])
        return answer is not None

    def _in_time(self, tasks: list[Task]) -> list[Task]:
        """Those that the device may begin; the others, whose deadline passed while they waited for it, are answered."""
        late = self._shop.overtaken(tasks)
        if not late:
            return tasks
        self._outbox.answers(list(late.values()))
        return [task for task in tasks if task.frame.slot not in late]

    def _finish_all(self, tasks: Sequence[Task], outcomes: Sequence[Any]) -> None:
        """One after the other. The answer of a job that is watched for its time does not wait for the next one's."""
        made: list[Answer] = []
        sent = time.monotonic()
        for task, outcome in zip(tasks, outcomes, strict=True):
            answer = self._shop.finish(task, outcome)
            made.append(answer)
            watched = task.job.header.deadline is not None or answer.disposition is Disposition.CANCELLED
            if watched or time.monotonic() - sent >= HELD_S:
                self._outbox.answers(made)
                made, sent = [], time.monotonic()
        self._outbox.answers(made)

    def _run(self, tasks: Sequence[Task]) -> list[Any]:
        return self._shop.run(tasks, self._did_not_fit, self._limit_anew)

    def _limit_anew(self, tasks: Sequence[Task]) -> None:
        """Hard limits are on one run of the device, not on the wait for it, nor on the runs that find a bad neighbour.
        A job with a deadline is watched again, too."""
        by_limit: dict[int | None, list[int]] = {}
        for task in tasks:
            limit = hard_limit(task)
            if limit is not None or task.job.header.deadline is not None:
                by_limit.setdefault(limit, []).append(task.frame.slot)
        for limit, slots in by_limit.items():
            self._outbox.started(slots, limit)

    def _did_not_fit(self, tasks: Sequence[Task]) -> None:
        """The device could not hold these together: remember it, for jobs like them."""
        bucket, cost = tasks[0].bucket, sum(task.cost for task in tasks)
        with self._lock:
            self._ready.lower((len(tasks) + 1) // 2, bucket, cost / 2)
            max_size, max_cost = self._ready.ceiling(bucket), self._ready.dearest(bucket)
        told = bucket_name(bucket)
        log.warning("out_of_memory", batch_size=len(tasks), bucket=told, max_size=max_size, max_cost=max_cost)
        self._outbox.ceiling(told, max_size, max_cost)

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

    def _submit(self, pool: ThreadPoolExecutor, step: Callable[..., None], *args: Any) -> None:
        """A fault of the engine's own in a thread must end the process, not vanish in a future."""
        pool.submit(step, *args).add_done_callback(self._surface)

    def _surface(self, future: Future[None]) -> None:
        if (error := future.exception()) is not None:
            self._inbox.put(error)


def bucket_name(bucket: Hashable) -> str:
    """For people: the version, and what the processor's `bucket` said, where it did."""
    parts = bucket if isinstance(bucket, tuple) else ()
    return "/".join(str(part) for part in parts if part is not None)[:100]


def _slot(item: JobFrame | Task) -> int:
    return item.frame.slot if isinstance(item, Task) else item.slot


def _called_off(frame: JobFrame) -> JobFrame:
    """The same job, to be answered as cancelled and not to be run."""
    if frame.flags & Flag.REJECTED:
        return frame  # its end is known already
    return frame._replace(flags=frame.flags | Flag.REJECTED, error_code=ErrorCode.CANCELLED.encode())
