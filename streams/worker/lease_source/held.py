"""Jobs that this worker holds by lease."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from connectors.lease_store import Grant, Hold, RunKey
from schemas.states import Lane
from schemas.topics import TopicNames
from streams.worker.job import InFlightJob, JobOrigin

LANES = tuple(Lane)


class HeldLease(JobOrigin):
    """A grant and its job. `lost`: another worker has the job, so nothing of it may be published.

    `on_finished` and `on_released` are called with the lease, as JobOrigin says.
    """

    __slots__ = ("_on_finished", "_on_released", "_until", "cancelled", "grant", "job", "lost")

    def __init__(
        self,
        grant: Grant,
        until: float,
        names: TopicNames,
        on_finished: Callable[[HeldLease], None],
        on_released: Callable[[HeldLease], None],
    ) -> None:
        place = grant.coordinates
        topic = place.topic if place is not None and place.topic else names.requests(grant.processor, grant.lane)
        super().__init__(topic, 0 if place is None else place.partition, LANES.index(Lane(grant.lane)))
        self.grant = grant
        self.lost = False
        self.cancelled = False
        self._until = until
        self._on_finished = on_finished
        self._on_released = on_released
        accepted_ms = int(grant.accepted_at.timestamp() * 1000)
        received_us = time.time_ns() // 1000
        offset = -1 if place is None else place.offset
        self.job = InFlightJob(
            self, offset, grant.key, grant.value, grant.headers, accepted_ms, len(grant.value), received_us
        )
        self.job.resume(grant.execution, grant.crashes)

    @property
    def key(self) -> RunKey:
        return self.grant.hold.key

    @property
    def hold(self) -> Hold:
        """The lease with the job's present counts, for a heartbeat."""
        return Hold(self.grant.job_id, self.grant.run, self.grant.fence, self.job.execution, self.job.crashes)

    def is_sure(self, now: float) -> bool:
        """True while the lease has surely not expired: by our monotonic clock, counted from before we asked for it, so that it
        ends no later than by the store's clock."""
        return now < self._until

    def renew(self, until: float) -> None:
        self._until = until

    def mark(self, *, lost: bool = False, cancelled: bool = False) -> None:
        self.lost, self.cancelled = lost or self.lost, cancelled or self.cancelled

    def released(self, job: InFlightJob) -> None:
        self._on_released(self)

    def finished(self, job: InFlightJob) -> None:
        self._on_finished(self)


class HeldLeases:
    """All leases that heartbeats renew. Used by every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[RunKey, HeldLease] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def add(self, leases: Iterable[HeldLease]) -> None:
        with self._lock:
            self._by_key |= {lease.key: lease for lease in leases}

    def by_keys(self, keys: Iterable[RunKey]) -> list[HeldLease]:
        with self._lock:
            return [self._by_key[key] for key in keys if key in self._by_key]

    def holds(self) -> list[Hold]:
        with self._lock:
            return [lease.hold for lease in self._by_key.values()]

    def remove(self, lease: HeldLease) -> None:
        """Forget a lease. A newer lease of the same run, granted to us while our process still works on it, stays."""
        with self._lock:
            if self._by_key.get(lease.key) is lease:
                del self._by_key[lease.key]
