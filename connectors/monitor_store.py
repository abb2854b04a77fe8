"""Port for what monitoring reads of the store: the sink's offsets, the queue of leased jobs, and each processor's flow.

Implementations: `postgres/monitor_store.py`, `memory/monitor_store.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol, Self


class SinkPosition(NamedTuple):
    """The offset of the first record of a partition that the sink has not stored."""

    topic_id: bytes
    partition: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class LeasedQueue:
    """Jobs of a processor and lane that are claimed by lease and have not ended. `oldest_at`: when the oldest was requested."""

    processor: str
    lane: str
    waiting: int
    held: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProcessorFlow:
    """Runs of a processor in the last time window. `requested`: runs that came in; a replayed one did when it was published.
    `ended` of them that have an outcome decided in the window, `failed` those that did not complete. Times in milliseconds,
    None without any: from request to start of the last attempt, and of the run itself. A sample if there are very many."""

    processor: str
    requested: int
    ended: int
    failed: int
    queue_p50_ms: float | None
    queue_p95_ms: float | None
    run_p50_ms: float | None
    run_p95_ms: float | None


class MonitorStore(Protocol):
    """Used by one thread; a context manager that disconnects on exit.

    Every call raises Unreachable while the store does not answer, and UsageError if `sluice migrate` was never run.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def sink_positions(self, group: str) -> list[SinkPosition]:
        """Return how far the sink's group has stored each partition."""
        ...

    def leased(self) -> list[LeasedQueue]:
        """Return the queues of jobs that are claimed by lease, by processor and lane; none that are empty."""
        ...

    def flow(self, window: timedelta) -> list[ProcessorFlow]:
        """Return the flow of each processor that had any in the window, by name."""
        ...

    def close(self) -> None: ...
