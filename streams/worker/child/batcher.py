"""Which waiting jobs run together, and which first. Pure: the caller brings the clock and says whether the device is idle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from math import inf
from typing import Generic, TypeVar

from processors.policy import Batch, LaneWeights
from streams.worker.child.fair_queue import BULK, LIVE, FairClock

T = TypeVar("T")


#: An item, when it came, a number that orders those that came at the same time, its cost. A bare tuple: each job makes one.
_Entry = tuple[T, float, int, float]


@dataclass(slots=True)
class _Bucket(Generic[T]):
    """What waits in one bucket, by lane, the oldest first. Never empty but while it is worked on."""

    bucket: Hashable
    most: int  # items in a batch
    dearest: float  # what a batch may cost
    wait_s: float
    lanes: tuple[deque[_Entry[T]], deque[_Entry[T]]] = field(default_factory=lambda: (deque(), deque()))
    cost: float = 0.0

    def __len__(self) -> int:
        return len(self.lanes[LIVE]) + len(self.lanes[BULK])

    def age(self, lane: int) -> tuple[bool, int]:
        """Sorts shelves: those with something in this lane first, then by their oldest item (of that lane)."""
        queue = self.lanes[lane] or self.lanes[1 - lane]
        return not self.lanes[lane], queue[0][2]

    def due_at(self) -> float:
        return min(lane[0][1] for lane in self.lanes if lane) + self.wait_s

    def full(self) -> bool:
        return len(self) >= self.most or self.cost >= self.dearest


class Batcher(Generic[T]):
    """First in, first out, within each lane of each bucket.

    A batch is closed at `max_size` items, at `max_cost`, `max_wait_ms` after its oldest item came, and at once while the
    device is idle: an idle device gains nothing by waiting. While one bucket is closed and another is not, the closed one
    goes first, so a bucket may fill for `max_wait_ms` while the device has other work; among equals the oldest item
    decides, so that none starves. The lanes share by weight, across buckets and within a batch.

    `policy_of` gives the policy of a bucket where they differ (two versions of a processor).
    """

    def __init__(
        self, policy: Batch, lanes: LaneWeights | None = None, policy_of: Callable[[Hashable], Batch] | None = None
    ) -> None:
        self._policy_of = policy_of or (lambda _: policy)
        self._shelves: dict[Hashable, _Bucket[T]] = {}
        self._learned: dict[Hashable, tuple[float, float]] = {}  # by bucket: items and cost that seem to fit
        self._clock = FairClock(lanes or LaneWeights())
        self._in_lane = [0, 0]
        self._number = 0

    def __len__(self) -> int:
        return self._in_lane[LIVE] + self._in_lane[BULK]

    def ceiling(self, bucket: Hashable = None) -> int:
        """The largest batch of a bucket: the policy's, or what `lower` has learned."""
        return int(min(self._policy_of(bucket).max_size, self._learned.get(bucket, (inf, inf))[0]))

    def dearest(self, bucket: Hashable = None) -> float | None:
        """The dearest batch of a bucket, as `ceiling`; None without a limit."""
        allowed = self._policy_of(bucket).max_cost
        dearest = min(inf if allowed is None else allowed, self._learned.get(bucket, (inf, inf))[1])
        return None if dearest == inf else dearest

    def full(self) -> bool:
        """Whether a batch would be closed for its size or cost."""
        return any(shelf.full() for shelf in self._shelves.values())

    def add(self, item: T, now: float, lane: int = LIVE, bucket: Hashable = None, cost: float = 0.0) -> None:
        shelf = self._shelves.get(bucket)
        if shelf is None:
            shelf = self._shelves[bucket] = self._new_shelf(bucket)
        if not self._in_lane[lane]:
            self._clock.woke(lane)
        self._in_lane[lane] += 1
        self._number += 1
        shelf.cost += cost
        shelf.lanes[lane].append((item, now, self._number, cost))

    def lower(self, size: int, bucket: Hashable = None, cost: float = 0.0) -> None:
        """The device ran out of memory above `size` items, or above `cost` where items have one: stay below in this bucket.

        Where there is a cost it alone is remembered: four large items that did not fit say nothing of forty small ones.
        """
        items, dearest = self._learned.get(bucket, (inf, inf))
        self._learned[bucket] = (items, min(dearest, cost)) if cost > 0 else (min(items, max(1, size)), dearest)
        if (shelf := self._shelves.get(bucket)) is not None:
            shelf.most, shelf.dearest = self.ceiling(bucket), self._limit(bucket)

    def drop(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take out the waiting items that nobody wants any more."""
        dropped: list[T] = []
        for shelf in list(self._shelves.values()):
            for lane, queue in enumerate(shelf.lanes):
                for entry in [queue.popleft() for _ in range(len(queue))]:
                    if unwanted(entry[0]):
                        dropped.append(entry[0])
                        self._in_lane[lane] -= 1
                        shelf.cost -= entry[3]
                    else:
                        queue.append(entry)
            self._tidy(shelf)
        return dropped

    def due_at(self) -> float | None:
        """When an item has waited long enough; None while nothing waits."""
        return min((shelf.due_at() for shelf in self._shelves.values()), default=None)

    def take(self, now: float, *, idle: bool) -> list[T]:
        """The next batch, or nothing while it is better to wait."""
        if not self._shelves:
            return []
        shelf = self._next(now, idle)
        if shelf is None:
            return []
        batch = self._all_of(shelf) if shelf.dearest == inf else self._filled(shelf)
        self._tidy(shelf)
        return batch

    # ── which bucket ──

    def _next(self, now: float, idle: bool) -> _Bucket[T] | None:
        shelves = list(self._shelves.values())
        if idle and len(shelves) == 1:
            return shelves[0]
        closed = [shelf for shelf in shelves if shelf.full() or shelf.due_at() <= now]
        if not closed and not idle:
            return None
        lane = self._clock.turn(self._in_lane[LIVE], self._in_lane[BULK])
        return min(closed or shelves, key=lambda shelf: shelf.age(lane))

    # ── what of it ──

    def _all_of(self, shelf: _Bucket[T]) -> list[T]:
        """Up to the ceiling, whatever it costs."""
        live, bulk = shelf.lanes
        count = min(shelf.most, len(shelf))
        if live and bulk:
            return [self._pop(shelf)[0] for _ in range(count)]
        lane = LIVE if live else BULK
        self._clock.took(lane, count)
        self._in_lane[lane] -= count
        popleft = shelf.lanes[lane].popleft
        batch = [popleft() for _ in range(count)]
        shelf.cost -= sum(entry[3] for entry in batch) if shelf.cost else 0.0
        return [entry[0] for entry in batch]

    def _filled(self, shelf: _Bucket[T]) -> list[T]:
        """Up to the ceiling and the cost; the first one whatever it costs, then alone."""
        first = self._pop(shelf)
        batch, spent = [first[0]], first[3]
        while len(batch) < shelf.most and len(shelf):
            following = shelf.lanes[self._clock.turn(len(shelf.lanes[LIVE]), len(shelf.lanes[BULK]))][0]
            if spent + following[3] > shelf.dearest:
                break
            batch.append(self._pop(shelf)[0])
            spent += following[3]
        return batch

    def _pop(self, shelf: _Bucket[T]) -> _Entry[T]:
        lane = self._clock.turn(len(shelf.lanes[LIVE]), len(shelf.lanes[BULK]))
        entry = shelf.lanes[lane].popleft()
        self._clock.took(lane)
        self._in_lane[lane] -= 1
        shelf.cost -= entry[3]
        return entry

    # ── shelves ──

    def _new_shelf(self, bucket: Hashable) -> _Bucket[T]:
        wait_s = self._policy_of(bucket).max_wait_ms / 1000
        return _Bucket(bucket, self.ceiling(bucket), self._limit(bucket), wait_s)

    def _limit(self, bucket: Hashable) -> float:
        dearest = self.dearest(bucket)
        return inf if dearest is None else dearest

    def _tidy(self, shelf: _Bucket[T]) -> None:
        """Buckets may be as many as there are shapes: one that is empty is forgotten (what was learned of it is not)."""
        if not len(shelf):
            del self._shelves[shelf.bucket]
