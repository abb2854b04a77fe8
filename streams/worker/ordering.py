"""Order at work in the parent: who waits for whom, and the next attempt of an ordered job, in its place.

The next of a key begins once the result of the one before is in the log, not merely made: whatever dies, no job overtakes
another of its key. A retry of an ordered job is not published: from the end of the log it would come after its successors. It
waits here, its key with it, and runs again with the next attempt.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count

from processors.policy import Order
from streams.worker.in_flight import Assignment, InFlightJob, InFlightJobs
from streams.worker.order_gate import OrderGate
from streams.worker.protocol import LAST_SEQUENCE, Answer, Flag
from streams.worker.supervision.limits import ProgressUpdate

LARGEST_ATTEMPT = 2**31 - 1


class OrderedJobs:
    """Used from the engine's thread, but for `keep`, which the child's reader calls."""

    def __init__(self, order: Order, ledger: InFlightJobs, say: Callable[[ProgressUpdate], None]) -> None:
        self._by_key = order is Order.KEY
        self._ledger = ledger
        self._say = say
        self._gate: OrderGate[InFlightJob] = OrderGate()
        self._kept: deque[InFlightJob] = deque()
        self._retries: list[tuple[float, int, InFlightJob]] = []  # a heap, by when they are due
        self._tie = count()

    @property
    def parked(self) -> int:
        """Jobs that wait for another of their key."""
        return len(self._gate)

    def admit(self, jobs: Iterable[InFlightJob]) -> list[InFlightJob]:
        """Those that may run now. A job whose end is known (Flag.REJECTED) needs no turn: it is only to be answered."""
        runnable, parked = [], []
        for held in jobs:
            turn = held.message.key() if self._by_key else b""
            if turn is None or held.flags & Flag.REJECTED:
                runnable.append(held)
                continue
            held.turn = turn
            if self._gate.admit(held.owned, turn, held):
                runnable.append(held)
            else:
                parked.append(held)
        if parked:
            self._ledger.park(parked)
        return runnable

    def keep(self, answer: Answer) -> bool:
        """Whether a `retry` is this one's to run again. From the child's reader."""
        held = self._ledger.held(answer.slot)
        if held is None or held.turn is None or answer.retry_in_ms < 0:
            return False
        held.started = False
        held.retry = (time.monotonic() + answer.retry_in_ms / 1000, min(answer.attempt + 1, LARGEST_ATTEMPT))
        held.parked = True  # last: from here on the engine's thread may look at the rest
        self._kept.append(held)
        return True

    def due(self, now: float) -> list[InFlightJob]:
        """What may run now: the next of each key whose job is done, and attempts whose time has come."""
        runnable = []
        while self._ledger.finished:
            done = self._ledger.finished.popleft()
            following = self._gate.done(done.owned, done.turn)
            while following is not None and following.turn is None:  # withdrawn
                following = self._gate.done(done.owned, done.turn)
            if following is not None:
                self._ledger.unpark(following)
                runnable.append(following)
        while self._kept:
            self._put_off(self._kept.popleft(), now)
        while self._retries and self._retries[0][0] <= now:
            held = heapq.heappop(self._retries)[2]
            if held.retry is not None and self._ledger.held(held.slot) is held:
                self._next_attempt(held)
                runnable.append(held)
        return runnable

    def withdraw(self, held: InFlightJob) -> None:
        """A parked job whose end is known waits no more. One that only waited for others leaves its place in the row."""
        if held.retry is None:
            held.turn = None
            self._ledger.unpark(held)
        else:
            self._next_attempt(held)

    def forget(self, given: Iterable[Assignment]) -> None:
        """These partitions are somebody else's; the ledger has dropped their jobs."""
        for owned in given:
            self._gate.drop(owned)

    def _put_off(self, held: InFlightJob, now: float) -> None:
        if held.retry is None:
            return  # withdrawn meanwhile
        due, attempt = held.retry
        self._ledger.park([held])
        wait = f"attempt {attempt} in {max(0.0, due - now):.1f} s"
        self._say(
            ProgressUpdate(held.slot, LAST_SEQUENCE - 1, "retrying", None, wait)
        )  # after every other word of this attempt
        heapq.heappush(self._retries, (due, next(self._tie), held))

    def _next_attempt(self, held: InFlightJob) -> None:
        assert held.retry is not None
        held.attempt = held.retry[1]
        held.retry = None
        held.execution, held.crashes, held.flags, held.error_code = 1, 0, 0, b""
        self._ledger.count_crashes([held])
        self._ledger.unpark(held)
