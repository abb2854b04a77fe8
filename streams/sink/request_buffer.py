"""Requests kept in memory for up to a second: if the result comes meanwhile, the PENDING row is never written.

Their offsets are kept back as well, so that a sink that dies reads them again.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from streams.sink.event import Event

HOLD_S = 1.0


class RequestBuffer:
    """Not thread-safe. `now` is any monotonic clock."""

    def __init__(self, hold_s: float = HOLD_S) -> None:
        self._hold_s = hold_s
        self._by_job: dict[bytes, list[Event]] = {}
        self._by_partition: dict[tuple[bytes, int], OrderedDict[int, None]] = {}
        self._queue: deque[tuple[float, bytes]] = deque()

    def __len__(self) -> int:
        return len(self._by_job)

    def hold(self, event: Event, now: float) -> None:
        if event.job_id not in self._by_job:
            self._queue.append((now + self._hold_s, event.job_id))
        self._by_job.setdefault(event.job_id, []).append(event)
        self._by_partition.setdefault(event.place[:2], OrderedDict())[event.place.offset] = None

    def take(self, job_id: bytes) -> list[Event]:
        """What is held of one job, in order; it is held no longer."""
        events = self._by_job.pop(job_id, None)
        if events is None:
            return []
        for event in events:
            self._by_partition[event.place[:2]].pop(event.place.offset, None)
        return events

    def take_due(self, now: float, limit: int) -> list[Event]:
        """What was held long enough, at most `limit` jobs of it."""
        due: list[Event] = []
        jobs = 0
        while self._queue and self._queue[0][0] <= now and jobs < limit:
            events = self.take(self._queue.popleft()[1])
            jobs += bool(events)
            due += events
        return due

    def wait_s(self, now: float) -> float | None:
        """Seconds until something is due; None when nothing is held."""
        while self._queue and self._queue[0][1] not in self._by_job:
            self._queue.popleft()
        return max(0.0, self._queue[0][0] - now) if self._queue else None

    def lowest(self, partition: tuple[bytes, int]) -> int | None:
        """The first offset of a partition that is held; None when none is."""
        held = self._by_partition.get(partition)
        return next(iter(held)) if held else None

    def forget(self, partition: tuple[bytes, int]) -> None:
        """Drop what came from a partition: somebody else reads it now."""
        self._by_partition.pop(partition, None)
        for job_id, events in list(self._by_job.items()):
            kept = [event for event in events if event.place[:2] != partition]
            if kept:
                self._by_job[job_id] = kept
            else:
                del self._by_job[job_id]
