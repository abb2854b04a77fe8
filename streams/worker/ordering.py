"""Order: jobs of one key run one after another, and the next attempt of an ordered job runs in its place.

The next job of a key begins once the result of the job before is in the log, not merely made: whatever crashes, no job
overtakes another of its key. The retry of an ordered job is not published, because from the end of the log it would run after
its successors. It waits here, its key with it, and runs again as the next attempt. It waits in memory: with the worker the
attempt number is lost, and the next owner begins at the record's attempt again.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from itertools import count
from typing import Generic, TypeVar

from processors.policy import Order
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob, JobOrigin
from streams.worker.protocol import LAST_SEQUENCE, Answer
from streams.worker.supervision.limits import ProgressUpdate

LARGEST_ATTEMPT = 2**31 - 1

T = TypeVar("T")


class OrderGate(Generic[T]):
    """Decides which items may run now. Pure: no Kafka, no clock, no lock.

    Items of one key run one after another, in the order in which they were admitted; items of different keys do not wait for
    each other. A key belongs to a partition and is forgotten with it.
    """

    def __init__(self) -> None:
        self._queues: dict[Hashable, dict[Hashable, deque[T]]] = {}  # by partition and busy key: what waits behind it
        self._waiting = 0

    def __len__(self) -> int:
        """Number of items that wait."""
        return self._waiting

    def admit(self, partition: Hashable, key: Hashable, item: T) -> bool:
        """Return True if the item runs now (its key is busy until `done`), False if it waits behind others of its key."""
        busy = self._queues.setdefault(partition, {})
        queue = busy.get(key)
        if queue is None:
            busy[key] = deque()
            return True
        queue.append(item)
        self._waiting += 1
        return False

    def done(self, partition: Hashable, key: Hashable) -> T | None:
        """The key's running item is done: return the next one, which runs now; None if the key is free."""
        busy = self._queues.get(partition)
        queue = None if busy is None else busy.get(key)
        if busy is None or queue is None:
            return None  # the partition was forgotten
        if queue:
            self._waiting -= 1
            return queue.popleft()
        del busy[key]
        if not busy:
            del self._queues[partition]
        return None

    def forget(self, partition: Hashable) -> list[T]:
        """Forget a partition and its keys; return what waited there, in order within each key."""
        waiting = [item for queue in self._queues.pop(partition, {}).values() for item in queue]
        self._waiting -= len(waiting)
        return waiting


class OrderedJobs:
    """Used by the engine's thread, except `retry_here`, which the child's reader calls. `report` gets progress updates."""

    def __init__(self, order: Order, in_flight: InFlightJobs, report: Callable[[ProgressUpdate], None]) -> None:
        self._by_key = order is Order.KEY
        self._in_flight = in_flight
        self._report = report
        self._gate: OrderGate[InFlightJob] = OrderGate()
        self._failed: deque[InFlightJob] = deque()
        self._retries: list[tuple[float, int, InFlightJob]] = []  # a heap, by when they are due
        self._tie = count()

    @property
    def waiting(self) -> int:
        """Number of jobs that wait for another of their key."""
        return len(self._gate)

    def admit(self, jobs: Iterable[InFlightJob]) -> list[InFlightJob]:
        """Return the jobs that may run now. A rejected job has no place in the sequence: the child only encodes its failure."""
        runnable, waiting = [], []
        for job in jobs:
            order_key = job.key if self._by_key else b""
            if order_key is None or job.rejected:
                runnable.append(job)
                continue
            job.take_turn(order_key)
            if self._gate.admit(job.origin, order_key, job):
                runnable.append(job)
            else:
                waiting.append(job)
        if waiting:
            self._in_flight.mark_waiting(waiting)
        return runnable

    def retry_here(self, job: InFlightJob, answer: Answer) -> bool:
        """Take a job whose answer is `retry`; return False if it is not an ordered one. From the child's reader."""
        if job.order_key is None or answer.retry_in_ms < 0:
            return False
        due = time.monotonic() + answer.retry_in_ms / 1000
        self._in_flight.schedule_attempt(job, due, min(answer.attempt + 1, LARGEST_ATTEMPT))
        self._failed.append(job)
        return True

    def due(self, now: float) -> list[InFlightJob]:
        """Return the jobs that may run now: the next of each key whose job is done, and retries whose time has come."""
        runnable = []
        while self._in_flight.finished:
            done = self._in_flight.finished.popleft()
            following = self._gate.done(done.origin, done.order_key)
            while following is not None and following.order_key is None:  # it has left the sequence
                following = self._gate.done(done.origin, done.order_key)
            if following is not None:
                self._in_flight.begin([following])
                runnable.append(following)
        while self._failed:
            self._schedule(self._failed.popleft(), now)
        while self._retries and self._retries[0][0] <= now:
            job = heapq.heappop(self._retries)[2]
            if job.next_attempt is not None and self._in_flight.get(job.slot) is job:
                self._in_flight.start_attempt(job)
                runnable.append(job)
        return runnable

    def withdraw(self, job: InFlightJob) -> None:
        """Let a waiting job go to the child at once, to be rejected. One that only waits for others leaves the sequence."""
        if job.next_attempt is None:
            job.take_turn(None)
            self._in_flight.begin([job])
        else:
            self._in_flight.start_attempt(job)

    def forget(self, origins: Iterable[JobOrigin]) -> None:
        """Forget revoked partitions; their jobs are not in flight any more."""
        for origin in origins:
            self._gate.forget(origin)

    def _schedule(self, job: InFlightJob, now: float) -> None:
        if job.next_attempt is None:
            return  # withdrawn meanwhile
        due, attempt = job.next_attempt
        message = f"attempt {attempt} in {max(0.0, due - now):.1f} s"
        # After all other updates of this attempt.
        self._report(ProgressUpdate(job.slot, LAST_SEQUENCE - 1, "retrying", None, message))
        heapq.heappush(self._retries, (due, next(self._tie), job))
