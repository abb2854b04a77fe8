"""Finds partitions from which Faust delivers nothing although there are records. No I/O.

After a rebalance Faust now and then skips records, or a whole partition, until the next start. Nothing is lost by it,
because nothing beyond is committed; but the jobs would wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K")

#: Seconds without any progress until a partition is read again from its committed offset.
PATIENCE_S = 5.0
#: How often that is tried for one offset. Then only a new process helps.
TRIES = 2


class PartitionProgress(NamedTuple):
    """Where a partition stands. `expected`: the next offset to commit. `gap`: later records are acknowledged, this one is not.
    `end`: the end of the log. `read_at`: when its last record was delivered."""

    expected: int
    gap: bool
    end: int
    read_at: float


@dataclass(slots=True)
class _LastProgress:
    expected: int
    since: float
    tries: int = 0
    end: int = -1


class StallWatch(Generic[K]):
    """Keeps when each partition last made progress. `check` returns those to read again, and those where that did not help."""

    def __init__(self) -> None:
        self._seen: dict[K, _LastProgress] = {}

    def forget(self) -> None:
        """Begin again: partitions were assigned, or the router itself had to wait."""
        self._seen.clear()

    def check(self, places: Mapping[K, PartitionProgress], now: float) -> tuple[list[K], list[K]]:
        again: list[K] = []
        hopeless: list[K] = []
        for partition, place in places.items():
            seen = self._seen.get(partition)
            if seen is None or seen.expected != place.expected:
                self._seen[partition] = _LastProgress(place.expected, now)
            elif not (place.gap or place.end > max(place.expected, seen.end)):
                # The log may end with offsets that have no record, which reading it again has shown (`seen.end`).
                seen.since = now
            elif now - seen.since > PATIENCE_S and (place.gap or now - place.read_at > PATIENCE_S):
                (again if seen.tries < TRIES else hopeless).append(partition)
                self._seen[partition] = _LastProgress(place.expected, now, seen.tries + 1, place.end)
        return again, hopeless
