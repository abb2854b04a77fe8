"""When waiting jobs run together. Pure: the caller brings the clock and says whether the device is idle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from processors.policy import Batch

T = TypeVar("T")


class Batcher(Generic[T]):
    """First in, first out. A batch is closed at `max_size` items, `max_wait_ms` after its oldest item came, and at once
    while the device is idle: an idle device gains nothing by waiting."""

    def __init__(self, policy: Batch) -> None:
        self._max_wait_s = policy.max_wait_ms / 1000
        self._ceiling = policy.max_size
        self._waiting: deque[tuple[T, float]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def ceiling(self) -> int:
        """The largest batch: the policy's, or what `lower` has learned."""
        return self._ceiling

    def add(self, item: T, now: float) -> None:
        self._waiting.append((item, now))

    def lower(self, size: int) -> None:
        """The device ran out of memory above `size`: make no larger batch again."""
        self._ceiling = max(1, min(self._ceiling, size))

    def drop(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take out the waiting items that nobody wants any more."""
        kept: deque[tuple[T, float]] = deque()
        dropped = []
        for entry in self._waiting:
            dropped.append(entry[0]) if unwanted(entry[0]) else kept.append(entry)
        self._waiting = kept
        return dropped

    def due_at(self) -> float | None:
        """When the oldest item has waited long enough; None while nothing waits."""
        return self._waiting[0][1] + self._max_wait_s if self._waiting else None

    def take(self, now: float, *, idle: bool) -> list[T]:
        """The next batch, or nothing while it is better to wait."""
        due = self.due_at()
        if due is None or not (idle or len(self._waiting) >= self._ceiling or now >= due):
            return []
        return [self._waiting.popleft()[0] for _ in range(min(self._ceiling, len(self._waiting)))]
