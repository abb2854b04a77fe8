"""Decides which waiting jobs run together, and which first. Pure: the caller passes the time and whether the device is idle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from math import inf
from typing import Generic, TypeVar

from processors.policy import Batch, LaneWeights
from streams.worker.child.fair_queue import FairClock

T = TypeVar("T")


#: An item, its arrival time, a number that orders items of the same time, its cost. A bare tuple, because every job makes one.
_Entry = tuple[T, float, int, float]


@dataclass(slots=True)
class _Bucket(Generic[T]):
    """The items of one bucket that wait, by lane, the oldest first. A bucket that is empty is removed."""

    key: Hashable
    max_size: int  # items in a batch
    max_cost: float  # of a batch; infinite without a limit
    max_wait_s: float
    lanes: tuple[deque[_Entry[T]], deque[_Entry[T]]] = field(default_factory=lambda: (deque(), deque()))
    cost: float = 0.0

    def __len__(self) -> int:
        return len(self.lanes[0]) + len(self.lanes[1])

    def age(self, lane: int) -> tuple[bool, int]:
        """Sort key: buckets with items in this lane first, then by their oldest item (in that lane)."""
        queue = self.lanes[lane] or self.lanes[1 - lane]
        return not self.lanes[lane], queue[0][2]

    def due_at(self) -> float:
        return min(lane[0][1] for lane in self.lanes if lane) + self.max_wait_s

    def full(self) -> bool:
        return len(self) >= self.max_size or self.cost >= self.max_cost


class Batcher(Generic[T]):
    """First in, first out, within each lane of each bucket.

    A batch is closed at `max_size` items, at `max_cost`, `max_wait_ms` after its oldest item arrived, and at once while the
    device is idle: an idle device gains nothing by waiting. A closed batch goes before one that is not, so a bucket may fill
    for `max_wait_ms` while the device has other work. Among equals the oldest item decides, so that no bucket starves. The
    lanes share by weight, across buckets and within a batch.

    `policy_of` returns the policy of a bucket where policies differ (two versions of a processor).
    """

    def __init__(
        self, policy: Batch, lanes: LaneWeights | None = None, policy_of: Callable[[Hashable], Batch] | None = None
    ) -> None:
        self._policy_of = policy_of or (lambda _: policy)
        self._buckets: dict[Hashable, _Bucket[T]] = {}
        self._reduced: dict[Hashable, tuple[float, float]] = {}  # by bucket: the size and cost that seem to fit
        self._clock = FairClock(lanes or LaneWeights())
        self._in_lane = [0, 0]
        self._number = 0

    def __len__(self) -> int:
        return self._in_lane[0] + self._in_lane[1]

    def max_size(self, key: Hashable = None) -> int:
        """Return the most items in a batch of a bucket: the policy's limit, or a lower one set by `reduce_limit`."""
        return int(min(self._policy_of(key).max_size, self._reduced.get(key, (inf, inf))[0]))

    def max_cost(self, key: Hashable = None) -> float | None:
        """Return the highest cost of a batch of a bucket, like `max_size`; None without a limit."""
        limit = self._cost_limit(key)
        return None if limit == inf else limit

    def full(self) -> bool:
        """True if a batch would be closed for its size or cost."""
        return any(bucket.full() for bucket in self._buckets.values())

    def add(self, item: T, now: float, lane: int = 0, key: Hashable = None, cost: float = 0.0) -> None:
        """Add an item to the bucket called `key`."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = self._new_bucket(key)
        if not self._in_lane[lane]:
            self._clock.woke(lane)
        self._in_lane[lane] += 1
        self._number += 1
        bucket.cost += cost
        bucket.lanes[lane].append((item, now, self._number, cost))

    def reduce_limit(self, size: int, key: Hashable = None, cost: float = 0.0) -> None:
        """Keep batches of this bucket at `size` items or below; at `cost` or below where items have one.

        With a cost, only the cost is remembered: four large items that did not fit prove nothing about forty small ones.
        """
        max_size, max_cost = self._reduced.get(key, (inf, inf))
        self._reduced[key] = (max_size, min(max_cost, cost)) if cost > 0 else (min(max_size, max(1, size)), max_cost)
        if (bucket := self._buckets.get(key)) is not None:
            bucket.max_size, bucket.max_cost = self.max_size(key), self._cost_limit(key)

    def remove(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Remove and return the waiting items for which `unwanted` is true."""
        removed: list[T] = []
        for bucket in list(self._buckets.values()):
            for lane, queue in enumerate(bucket.lanes):
                for entry in [queue.popleft() for _ in range(len(queue))]:
                    if unwanted(entry[0]):
                        removed.append(entry[0])
                        self._in_lane[lane] -= 1
                        bucket.cost -= entry[3]
                    else:
                        queue.append(entry)
            self._remove_if_empty(bucket)
        return removed

    def due_at(self) -> float | None:
        """Return when an item will have waited long enough; None while nothing waits."""
        return min((bucket.due_at() for bucket in self._buckets.values()), default=None)

    def take(self, now: float, *, idle: bool) -> list[T]:
        """Remove and return the next batch; empty while it is better to wait."""
        if not self._buckets:
            return []
        bucket = self._next(now, idle)
        if bucket is None:
            return []
        batch = self._by_size(bucket) if bucket.max_cost == inf else self._by_cost(bucket)
        self._remove_if_empty(bucket)
        return batch

    # ── which bucket ──

    def _next(self, now: float, idle: bool) -> _Bucket[T] | None:
        buckets = list(self._buckets.values())
        if idle and len(buckets) == 1:
            return buckets[0]
        closed = [bucket for bucket in buckets if bucket.full() or bucket.due_at() <= now]
        if not closed and not idle:
            return None
        lane = self._clock.next_lane(self._in_lane[0], self._in_lane[1])
        return min(closed or buckets, key=lambda bucket: bucket.age(lane))

    # ── which of its items ──

    def _by_size(self, bucket: _Bucket[T]) -> list[T]:
        """Take up to `max_size` items."""
        live, bulk = bucket.lanes
        count = min(bucket.max_size, len(bucket))
        if live and bulk:
            return [self._pop(bucket)[0] for _ in range(count)]
        lane = 0 if live else 1
        self._clock.took(lane, count)
        self._in_lane[lane] -= count
        popleft = bucket.lanes[lane].popleft
        batch = [popleft() for _ in range(count)]
        bucket.cost -= sum(entry[3] for entry in batch) if bucket.cost else 0.0
        return [entry[0] for entry in batch]

    def _by_cost(self, bucket: _Bucket[T]) -> list[T]:
        """Take up to `max_size` items and `max_cost`. A first item that costs more than `max_cost` is taken alone."""
        first = self._pop(bucket)
        batch, spent = [first[0]], first[3]
        while len(batch) < bucket.max_size and len(bucket):
            following = bucket.lanes[self._clock.next_lane(len(bucket.lanes[0]), len(bucket.lanes[1]))][0]
            if spent + following[3] > bucket.max_cost:
                break
            batch.append(self._pop(bucket)[0])
            spent += following[3]
        return batch

    def _pop(self, bucket: _Bucket[T]) -> _Entry[T]:
        lane = self._clock.next_lane(len(bucket.lanes[0]), len(bucket.lanes[1]))
        entry = bucket.lanes[lane].popleft()
        self._clock.took(lane)
        self._in_lane[lane] -= 1
        bucket.cost -= entry[3]
        return entry

    # ── buckets ──

    def _new_bucket(self, key: Hashable) -> _Bucket[T]:
        return _Bucket(key, self.max_size(key), self._cost_limit(key), self._policy_of(key).max_wait_ms / 1000)

    def _cost_limit(self, key: Hashable) -> float:
        allowed = self._policy_of(key).max_cost
        return min(inf if allowed is None else allowed, self._reduced.get(key, (inf, inf))[1])

    def _remove_if_empty(self, bucket: _Bucket[T]) -> None:
        """There may be as many buckets as shapes, so an empty one is removed. Its reduced limits are kept."""
        if not len(bucket):
            del self._buckets[bucket.key]
