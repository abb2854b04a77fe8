"""Every job this worker holds, from the poll to the delivery report of its result. The in-flight cap is kept here.

Three threads meet in it: the main one admits, the reader hears answers, the deliverer hears confirmations. Each takes the
lock once for a whole batch.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

from schemas.headers import ATTEMPT, JOB, PROCESSOR, RUN, TRACEPARENT
from streams.worker.kafka_source.offsets import OffsetTracker, Snapshot
from streams.worker.protocol import HeaderFields, JobFrame

#: Requests may be as large as a megabyte each; the cap on jobs alone would not bound the memory.
MAX_BYTES = 128 * 1024 * 1024
#: The part of the cap that bulk jobs may never take, so that a live job is admitted at once.
KEPT_FOR_LIVE = 0.25


class Capacity(NamedTuple):
    """How many more jobs may be taken: of both lanes together, and of these how many bulk ones."""

    total: int
    bulk: int


class Assignment:
    """A partition, from its assignment until it is revoked. Given back and taken again, it is another one."""

    __slots__ = ("careful_until", "commit_first", "committed", "lane", "partition", "publishing", "topic", "tracker")

    def __init__(self, topic: str, partition: int, lane: int, before: Snapshot | None = None) -> None:
        self.topic = topic
        self.partition = partition
        self.lane = lane
        self.tracker = OffsetTracker(before)
        self.committed: tuple[int, str] | None = None  # position and metadata
        #: While the position is below, jobs are committed as being in flight before they begin (`handover.py`).
        self.careful_until = 0
        #: Commits these partitions, this one among them, and waits for the answer; whether Kafka has it.
        self.commit_first: Callable[[Sequence[Assignment]], bool] = lambda owned: True
        self.publishing = 0  # results that wait for their delivery report


class InFlightJob:
    """One job in this worker's hands."""

    __slots__ = (
        "attempt",
        "crashes",
        "error_code",
        "execution",
        "flags",
        "message",
        "owned",
        "parked",
        "received_us",
        "retry",
        "size",
        "slot",
        "started",
        "trace",
        "turn",
        "unconfirmed",
        "withheld",
    )

    def __init__(self, slot: int, message: Any, owned: Assignment, size: int, received_us: int) -> None:
        self.slot = slot
        self.message = message
        self.owned = owned
        self.size = size
        self.received_us = received_us
        self.attempt = 0  # the one to run, where it is not the record's
        self.execution = 1  # starts of this attempt, as the wire shows them
        self.crashes = 0  # how often its process died while it ran, and not by our hand: what makes a job a killer
        self.flags = 0
        self.error_code = b""
        self.trace: bytes | None = None  # the caller's traceparent, handed on in the result
        self.started = False  # whether its process has begun to work on it in this execution
        self.unconfirmed = 0  # records that must be delivered before the job is done
        self.turn: Hashable | None = None  # what it shares with the jobs it must not run beside; None: runs with any
        self.retry: tuple[float, int] | None = None  # when it is tried again here (monotonic), and as which attempt
        self.parked = False  # waits here for its turn or its next attempt; the child does not have it
        self.withheld = False  # the same, until it can be given with care

    def frame(self) -> JobFrame:
        """As the child gets it."""
        message = self.message
        given = dict(message.headers() or ())
        self.trace = given.get(TRACEPARENT)
        return JobFrame(
            self.slot,
            self.execution,
            self.flags,
            self.owned.lane,
            self.owned.partition,
            message.offset(),
            self.received_us,
            message.timestamp()[1],
            self.error_code,
            HeaderFields(given.get(JOB), given.get(RUN), given.get(ATTEMPT), given.get(PROCESSOR)),
            message.value() or b"",
            self.attempt,
        )


class InFlightJobs:
    def __init__(self, capacity: int, max_bytes: int = MAX_BYTES) -> None:
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._unanswered: dict[int, InFlightJob] = {}
        self._count = 0
        self._by_lane = [0, 0]
        self._bytes = 0
        self._next_slot = 0
        #: Jobs with a turn that are done, for whoever lets the next one run.
        self.finished: deque[InFlightJob] = deque()
        #: Changes whenever a job is taken in, begun or done: while it stays, there is nothing new to commit.
        self.changes = 0

    def __len__(self) -> int:
        """Jobs held: with the child, or waiting for a delivery report."""
        return self._count

    def admit(self, arrivals: Iterable[tuple[Any, Assignment]], received_us: int) -> list[InFlightJob]:
        """Take in records, each with its partition; those delivered before are left out."""
        admitted = []
        with self._lock:
            for message, owned in arrivals:
                execution = owned.tracker.delivered(message.offset())
                if execution:
                    slot = self._next_slot = (self._next_slot + 1) & 0xFFFFFFFF
                    size = len(message)
                    held = self._unanswered[slot] = InFlightJob(slot, message, owned, size, received_us)
                    if execution > 1:
                        held.execution, held.crashes = execution, execution - 1
                    admitted.append(held)
                    self._bytes += size
                    self._by_lane[owned.lane] += 1
            self._count += len(admitted)
            self.changes += 1
        return admitted

    @property
    def capacity(self) -> int:
        return self._capacity

    def withhold(self, jobs: Iterable[InFlightJob]) -> None:
        """The child is not to have these yet. A worker that dies now has not executed them."""
        with self._changed:
            for held in jobs:
                held.withheld = True
                held.owned.tracker.withhold(held.message.offset())
            self.changes += 1

    def begin(self, jobs: Iterable[InFlightJob]) -> list[InFlightJob]:
        """The child is to have these now, but for those that were dropped meanwhile."""
        with self._lock:
            begun = [held for held in jobs if held.withheld and self._unanswered.get(held.slot) is held]
            for held in begun:
                held.withheld = False
                held.owned.tracker.begin(held.message.offset())
            self.changes += 1
        return begun

    def count_crashes(self, jobs: Iterable[InFlightJob]) -> None:
        """These have died more often, or begin another attempt: what a commit says of them is to follow."""
        with self._lock:
            for held in jobs:
                held.owned.tracker.executed(held.message.offset(), held.crashes + 1)
            self.changes += 1

    def wait_until_child_is_empty(self, timeout: float) -> bool:
        """Whether the child has no job, and none waits for its delivery report; waits for it."""
        with self._changed:
            return self._changed.wait_for(self._child_is_empty, timeout)

    def _child_is_empty(self) -> bool:
        waiting = self._unanswered.values()
        return self._count == len(waiting) and all(held.withheld or held.parked for held in waiting)

    @property
    def by_lane(self) -> tuple[int, int]:
        """Jobs held, live and bulk."""
        live, bulk = self._by_lane
        return live, bulk

    def wait_for_room(self, timeout: float) -> Capacity:
        """How much may be taken; waits for the first place."""
        with self._changed:
            if self._room() <= 0:
                self._changed.wait_for(lambda: self._room() > 0, timeout)
            return Capacity(max(0, self._room()), max(0, self._bulk_room()))

    def wait_for_news(self, timeout: float, *, bulk: bool) -> None:
        """Until a job with a turn is done or, with `bulk`, another bulk job may be taken."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self.finished) or (bulk and self._bulk_room() > 0), timeout)

    def wait_until_empty(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, timeout)

    def started(self, slots: Iterable[int]) -> None:
        unanswered = self._unanswered
        for slot in slots:
            held = unanswered.get(slot)
            if held is not None:
                held.started = True

    def answered(self, slot: int, records: int) -> InFlightJob | None:
        """The job whose answer has come and will be published as `records` records; None if nobody waits for it."""
        with self._lock:
            held = self._unanswered.pop(slot, None)
            if held is not None:
                held.unconfirmed = records
                held.owned.publishing += 1
            return held

    def reopen(self, held: InFlightJob, flags: int, error_code: bytes) -> None:
        """Its result can't be published: the child is to make another one."""
        with self._lock:
            held.flags, held.error_code, held.started = flags, error_code, False
            held.owned.publishing -= 1
            self._unanswered[held.slot] = held

    def confirmed(self, delivered: Iterable[InFlightJob]) -> None:
        """One record of each of these jobs has reached the log. A job is done when all of its records have."""
        with self._changed:
            for held in delivered:
                held.unconfirmed -= 1
                if held.unconfirmed == 0:
                    held.owned.tracker.done(held.message.offset())
                    held.owned.publishing -= 1
                    self._release(held)
                    if held.turn is not None:
                        self.finished.append(held)
            self.changes += 1
            self._changed.notify_all()

    def held(self, slot: int) -> InFlightJob | None:
        """The job in this slot, if its answer has not come."""
        return self._unanswered.get(slot)

    def resize(self, capacity: int) -> None:
        """Before the first job: what the processor's policy says."""
        self._capacity = capacity

    def unanswered(self) -> list[InFlightJob]:
        """What the child has, or should have."""
        with self._lock:
            return [held for held in self._unanswered.values() if not (held.parked or held.withheld)]

    def set_aside(self) -> list[InFlightJob]:
        """What waits here, parked or withheld, and the child does not have."""
        with self._lock:
            return [held for held in self._unanswered.values() if held.parked or held.withheld]

    def park(self, jobs: Iterable[InFlightJob]) -> None:
        """These wait here for their turn or their next attempt. A worker that dies now has not executed them."""
        with self._lock:
            for held in jobs:
                held.parked = True
                held.owned.tracker.withhold(held.message.offset())
            self.changes += 1

    def unpark(self, held: InFlightJob) -> None:
        """Its time has come: the child is to have it."""
        with self._lock:
            held.parked = False
            held.owned.tracker.begin(held.message.offset())
            self.changes += 1

    def positions(
        self, owned: Iterable[Assignment], position: Callable[[OffsetTracker], int | None]
    ) -> list[tuple[Assignment, int | None, Snapshot | None]]:
        """What may be committed of each, and how it stands."""
        with self._lock:
            return [(one, position(one.tracker), one.tracker.snapshot()) for one in owned]

    def not_through(self, owned: Iterable[Assignment]) -> set[Assignment]:
        """Those that are still to be treated with care."""
        with self._lock:
            return {one for one in owned if (one.tracker.position() or 0) < one.careful_until}

    def settle(self, owned: Sequence[Assignment], timeout: float) -> bool:
        """Wait until everything that was answered for these partitions is confirmed."""
        with self._changed:
            return self._changed.wait_for(lambda: not any(one.publishing for one in owned), timeout)

    def drop(self, owned: Iterable[Assignment]) -> list[int]:
        """Forget the unanswered jobs of partitions that were given back; their slots."""
        gone = set(owned)
        with self._changed:
            dropped = [held for held in self._unanswered.values() if held.owned in gone]
            self._give_up(dropped)
        return [held.slot for held in dropped]

    def give_back(self, slots: Iterable[int]) -> None:
        """Forget jobs that will not be run here: their offsets stay open, so whoever owns the partition next runs them."""
        with self._changed:
            jobs = [held for slot in slots if (held := self._unanswered.get(slot)) is not None]
            for held in jobs:
                held.owned.tracker.withhold(held.message.offset())
            self.changes += 1
            self._give_up(jobs)

    def _give_up(self, jobs: list[InFlightJob]) -> None:
        for held in jobs:
            del self._unanswered[held.slot]
            self._release(held)
        self._changed.notify_all()

    def _room(self) -> int:
        return 0 if self._bytes >= self._max_bytes else self._capacity - self._count

    def _bulk_room(self) -> int:
        if self._bytes >= self._max_bytes * (1 - KEPT_FOR_LIVE):
            return 0
        most = max(1, int(self._capacity * (1 - KEPT_FOR_LIVE)))
        return min(self._room(), most - self._by_lane[1])

    def _release(self, held: InFlightJob) -> None:
        self._count -= 1
        self._by_lane[held.owned.lane] -= 1
        self._bytes -= held.size
