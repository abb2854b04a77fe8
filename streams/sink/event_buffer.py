"""Holds events in memory for a moment, so that the store is written less often.

- A request is held for up to a second: if the result comes in that time, the PENDING row is never written. While jobs end fast,
  it is held for up to five: a backlog that is gone by then is not written twice (docs/adr/0045).
- A result of the bulk lane is held for 50 ms, or until an event is written that does not wait. A commit may take a tenth of a
  second on a busy disk, and a live result that comes meanwhile waits for it: so bulk jobs cause few of them (docs/adr/0040).

Their offsets are not stored while they are held, so a sink that dies reads them again.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from streams.sink.event import Event, Phase

HOLD_S = 1.0
#: While at least so many jobs a second end, requests are held this long.
FAST_JOBS_PER_S = 500
FAST_HOLD_S = 5.0
HOLD_RESULTS_S = 0.05
#: Limit of held records, in bytes. Beyond it the oldest are stored at once.
MOST_BYTES = 64 * 1024 * 1024

#: When an event was held, and its job. In the order of these times.
_Queue = deque[tuple[float, bytes]]


class EventBuffer:
    """Not thread-safe. `now` is any monotonic clock. A job's events leave together, when the first of them is due."""

    def __init__(
        self, hold_s: float = HOLD_S, hold_results_s: float = HOLD_RESULTS_S, fast_hold_s: float = FAST_HOLD_S
    ) -> None:
        self._slow_s, self._fast_s = hold_s, fast_hold_s
        self._hold_s = hold_s
        self._counted_from = 0.0
        self._ended = 0
        self._hold_results_s = hold_results_s
        self._by_job: dict[bytes, list[Event]] = {}
        self._by_partition: dict[tuple[bytes, int], OrderedDict[int, None]] = {}
        self._requests: _Queue = deque()
        self._results: _Queue = deque()
        self._bytes = 0

    @property
    def full(self) -> bool:
        return self._bytes > MOST_BYTES

    def __len__(self) -> int:
        return len(self._by_job)

    def ended(self, jobs: int, now: float) -> None:
        """Count jobs that were taken because they move on: how many a second decides how long requests are held."""
        self._ended += jobs
        elapsed = now - self._counted_from
        if elapsed >= 1.0:
            self._hold_s = self._fast_s if self._ended >= FAST_JOBS_PER_S * elapsed else self._slow_s
            self._counted_from, self._ended = now, 0

    def hold(self, event: Event, now: float) -> None:
        if event.phase is not Phase.REQUESTED:
            self._results.append((now, event.job_id))
        elif event.job_id not in self._by_job:
            self._requests.append((now, event.job_id))
        self._by_job.setdefault(event.job_id, []).append(event)
        self._bytes += _size(event)
        self._keep_back(event.position[:2], event.position.offset)

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
        due, jobs = self._take(self._results, now - self._hold_results_s, limit)
        return due + self._take(self._requests, now - self._hold_s, limit - jobs)[0]

    def take_results(self, limit: int) -> list[Event]:
        """Remove and return the events of at most `limit` jobs with a result, the oldest first, even if they are not due."""
        return self._take(self._results, float("inf"), limit)[0]

    def wait_s(self, now: float) -> float | None:
        """Return the seconds until the next event is due; None if nothing is held."""
        due = []
        for queue, hold_s in ((self._requests, self._hold_s), (self._results, self._hold_results_s)):
            while queue and queue[0][1] not in self._by_job:
                queue.popleft()
            if queue:
                due.append(queue[0][0] + hold_s)
        return max(0.0, min(due) - now) if due else None

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

    def _take(self, queue: _Queue, held_until: float, limit: int) -> tuple[list[Event], int]:
        """Remove and return the events of at most `limit` jobs that are held since, and how many jobs those are."""
        due: list[Event] = []
        jobs = 0
        while queue and queue[0][0] <= held_until and jobs < limit:
            events = self.take(queue.popleft()[1])
            jobs += bool(events)
            due += events
        return due, jobs

    def _keep_back(self, partition: tuple[bytes, int], offset: int) -> None:
        held = self._by_partition.setdefault(partition, OrderedDict())
        late = bool(held) and offset < next(reversed(held))
        held[offset] = None
        if late:  # it waited for its schema, while others passed it
            self._by_partition[partition] = OrderedDict.fromkeys(sorted(held))


def _size(event: Event) -> int:
    return len(event.message.value() or b"")
