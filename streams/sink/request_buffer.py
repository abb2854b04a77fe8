"""Holds requests in memory for up to a second: if the result comes in that time, the PENDING row is never written.

Their offsets are not stored while they are held, so a sink that dies reads them again.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from streams.sink.event import Event

HOLD_S = 1.0
#: Limit of held records, in bytes. Beyond it the oldest are stored at once.
MOST_BYTES = 64 * 1024 * 1024


class RequestBuffer:
    """Not thread-safe. `now` is any monotonic clock."""

    def __init__(self, hold_s: float = HOLD_S) -> None:
        self._hold_s = hold_s
        self._by_job: dict[bytes, list[Event]] = {}
        self._by_partition: dict[tuple[bytes, int], OrderedDict[int, None]] = {}
        self._queue: deque[tuple[float, bytes]] = deque()
        self._bytes = 0

    @property
    def full(self) -> bool:
        return self._bytes > MOST_BYTES

    def __len__(self) -> int:
        return len(self._by_job)

    def hold(self, event: Event, now: float) -> None:
        if event.job_id not in self._by_job:
            self._queue.append((now + self._hold_s, event.job_id))
        self._by_job.setdefault(event.job_id, []).append(event)
        self._bytes += _size(event)
        self._by_partition.setdefault(event.position[:2], OrderedDict())[event.position.offset] = None

    def take(self, job_id: bytes) -> list[Event]:
        """Remove and return the events of one job, in the order in which they came."""
        events = self._by_job.pop(job_id, None)
        if events is None:
            return []
        for event in events:
            self._by_partition[event.position[:2]].pop(event.position.offset, None)
            self._bytes -= _size(event)
        return events

    def take_due(self, now: float, limit: int) -> list[Event]:
        """Remove and return the events that were held long enough, of at most `limit` jobs."""
        due: list[Event] = []
        jobs = 0
        while self._queue and self._queue[0][0] <= now and jobs < limit:
            events = self.take(self._queue.popleft()[1])
            jobs += bool(events)
            due += events
        return due

    def wait_s(self, now: float) -> float | None:
        """Return the seconds until the next event is due; None if nothing is held."""
        while self._queue and self._queue[0][1] not in self._by_job:
            self._queue.popleft()
        return max(0.0, self._queue[0][0] - now) if self._queue else None

    def lowest(self, partition: tuple[bytes, int]) -> int | None:
        """Return the first held offset of a partition; None if it has none."""
        held = self._by_partition.get(partition)
        return next(iter(held)) if held else None

    def forget(self, partition: tuple[bytes, int]) -> None:
        """Drop the events of a revoked partition: its next owner reads them again."""
        self._by_partition.pop(partition, None)
        for job_id, events in list(self._by_job.items()):
            kept = [event for event in events if event.position[:2] != partition]
            self._bytes -= sum(_size(event) for event in events if event.position[:2] == partition)
            if kept:
                self._by_job[job_id] = kept
            else:
                del self._by_job[job_id]


def _size(event: Event) -> int:
    return len(event.message.value() or b"")
