"""A queue that two lanes share by weight: live before bulk, and a lane alone takes everything. Pure.

A lane is an int here: its position in `schemas.states.Lane`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from processors.policy import LaneWeights

T = TypeVar("T")


class FairClock:
    """Picks the lane that has had less for its weight (start-time fair queuing), live if both are even.

    An idle lane saves nothing up: when it has work again, it starts where the other one stands.
    """

    def __init__(self, weights: LaneWeights) -> None:
        self._step = (1 / weights.live, 1 / weights.bulk)
        self._had = [0.0, 0.0]

    def next_lane(self, live: int, bulk: int) -> int:
        """Return the lane to take from, given how many items wait in each (not 0 in both)."""
        if live and bulk:
            return 0 if self._had[0] <= self._had[1] else 1
        return 0 if live else 1

    def took(self, lane: int, count: int = 1) -> None:
        self._had[lane] += self._step[lane] * count

    def woke(self, lane: int) -> None:
        """Note that an item was added to a lane that was empty."""
        if self._had[lane] < self._had[1 - lane]:
            self._had[lane] = self._had[1 - lane]


class FairQueue(Generic[T]):
    """First in, first out within each lane; the lanes take turns by weight."""

    def __init__(self, weights: LaneWeights) -> None:
        self._clock = FairClock(weights)
        self._lanes: tuple[deque[T], deque[T]] = (deque(), deque())

    def __len__(self) -> int:
        return len(self._lanes[0]) + len(self._lanes[1])

    def add(self, item: T, lane: int) -> None:
        if not self._lanes[lane]:
            self._clock.woke(lane)
        self._lanes[lane].append(item)

    def pop(self) -> T:
        """Remove and return the next item. Raises IndexError if there is none."""
        lane = self._clock.next_lane(len(self._lanes[0]), len(self._lanes[1]))
        item = self._lanes[lane].popleft()
        self._clock.took(lane)
        return item

    def take(self, count: int) -> list[T]:
        """Remove and return up to `count` items."""
        live, bulk = self._lanes
        if live and bulk:
            return [self.pop() for _ in range(min(count, len(self)))]
        lane = 0 if live else 1
        count = min(count, len(self._lanes[lane]))
        self._clock.took(lane, count)
        popleft = self._lanes[lane].popleft
        return [popleft() for _ in range(count)]

    def remove(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Remove and return the items for which `unwanted` is true."""
        removed: list[T] = []
        for lane in self._lanes:
            for item in [lane.popleft() for _ in range(len(lane))]:
                (removed if unwanted(item) else lane).append(item)
        return removed
