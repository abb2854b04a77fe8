"""Two lanes share one worker: live before bulk by weight, a lane alone takes all. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from processors.policy import LaneWeights

T = TypeVar("T")

LIVE, BULK = 0, 1


class FairClock:
    """Whose turn it is: the lane that has had less for its weight (start-time fair queuing), live when both are even.

    A lane that had nothing to do saves nothing up: it starts where the other one stands.
    """

    def __init__(self, weights: LaneWeights) -> None:
        self._step = (1 / weights.live, 1 / weights.bulk)
        self._had = [0.0, 0.0]

    def turn(self, live: int, bulk: int) -> int:
        """LIVE or BULK, given how many wait in each (one of them must not be 0)."""
        if live and bulk:
            return LIVE if self._had[LIVE] <= self._had[BULK] else BULK
        return LIVE if live else BULK

    def took(self, lane: int, count: int = 1) -> None:
        self._had[lane] += self._step[lane] * count

    def woke(self, lane: int) -> None:
        """Something came into a lane that was empty."""
        if self._had[lane] < self._had[1 - lane]:
            self._had[lane] = self._had[1 - lane]


class FairQueue(Generic[T]):
    """A queue with two lanes: first in, first out within each."""

    def __init__(self, weights: LaneWeights) -> None:
        self._clock = FairClock(weights)
        self._lanes: tuple[deque[T], deque[T]] = (deque(), deque())

    def __len__(self) -> int:
        return len(self._lanes[LIVE]) + len(self._lanes[BULK])

    def add(self, item: T, lane: int) -> None:
        if not self._lanes[lane]:
            self._clock.woke(lane)
        self._lanes[lane].append(item)

    def pop(self) -> T:
        """The next one. Raises IndexError when there is none."""
        lane = self._clock.turn(len(self._lanes[LIVE]), len(self._lanes[BULK]))
        item = self._lanes[lane].popleft()
        self._clock.took(lane)
        return item

    def drop(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take out those that nobody wants any more."""
        dropped: list[T] = []
        for lane in self._lanes:
            for item in [lane.popleft() for _ in range(len(lane))]:
                (dropped if unwanted(item) else lane).append(item)
        return dropped
