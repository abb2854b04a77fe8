"""A granted job in this worker's hands. To the ledger it is a record of a partition of its own, in which nothing else lies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from connectors.lease_store import Grant, Hold, RunKey
from schemas.topics import TopicNames
from streams.worker.in_flight import Assignment, InFlightJob
from streams.worker.kafka_source.offsets import OffsetTracker

LANES = ("live", "bulk")


class GrantMessage:
    """A grant's request, as a record from the log looks to the engine."""

    def __init__(self, grant: Grant) -> None:
        self._grant = grant

    def __len__(self) -> int:
        return len(self._grant.value)

    def key(self) -> bytes:
        return self._grant.key

    def value(self) -> bytes:
        return self._grant.value

    def headers(self) -> tuple[tuple[str, bytes], ...]:
        return self._grant.headers

    def offset(self) -> int:
        """-1 for a request that never lay in the log."""
        return -1 if self._grant.coordinates is None else self._grant.coordinates.offset

    def timestamp(self) -> tuple[int, int]:
        return 1, int(self._grant.accepted_at.timestamp() * 1000)


class OneJob(OffsetTracker):
    """Says when the job's last record has reached the log. Nothing is committed by it."""

    def __init__(self, execution: int, done: Callable[[], None]) -> None:
        super().__init__()
        self._execution = execution
        self._tell = done

    def delivered(self, offset: int) -> int:
        return self._execution

    def done(self, offset: int) -> None:
        self._tell()


class HeldLease:
    """`until`: by our monotonic clock, up to when the job surely is ours: counted from before we asked, so that the store's
    own time is never earlier. `lost`: it is not ours any more; nothing of it may be published."""

    def __init__(self, grant: Grant, until: float, names: TopicNames, done: Callable[[HeldLease], None]) -> None:
        self.grant = grant
        self.until = until
        self.lost = False
        self.cancelled = False
        self.request = GrantMessage(grant)
        self.held: InFlightJob | None = None
        place = grant.coordinates
        topic = place.topic if place is not None and place.topic else names.requests(grant.processor, grant.lane)
        self.owned = Assignment(topic, 0 if place is None else place.partition, LANES.index(grant.lane))
        self.owned.tracker = OneJob(grant.execution, lambda: done(self))

    def admitted(self, held: InFlightJob) -> None:
        """It goes on counting where the grant stands."""
        held.execution, held.crashes = self.grant.execution, self.grant.crashes
        self.held = held

    @property
    def hold(self) -> Hold:
        held = self.held
        if held is None:
            return self.grant.hold
        return Hold(self.grant.job_id, self.grant.run, self.grant.fence, held.execution, held.crashes)


class HeldLeases:
    """All of them, for every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[RunKey, HeldLease] = {}
        self._by_slot: dict[int, HeldLease] = {}

    def __len__(self) -> int:
        return len(self._by_slot)

    def take(self, grip: HeldLease, held: InFlightJob) -> None:
        grip.admitted(held)
        with self._lock:
            self._by_key[grip.grant.hold.key] = self._by_slot[held.slot] = grip

    def of_slot(self, slot: int) -> HeldLease | None:
        return self._by_slot.get(slot)

    def of_keys(self, keys: Iterable[RunKey]) -> list[HeldLease]:
        with self._lock:
            return [self._by_key[key] for key in keys if key in self._by_key]

    def holds(self) -> list[Hold]:
        """What is ours."""
        with self._lock:
            return [grip.hold for grip in self._by_key.values()]

    def all(self) -> list[HeldLease]:
        with self._lock:
            return list(self._by_slot.values())

    def lose(self, grip: HeldLease) -> None:
        """It is another's now, and may even be granted to us anew while our process is still at it."""
        with self._lock:
            self._forget_key(grip)

    def let_go(self, grip: HeldLease) -> None:
        assert grip.held is not None
        with self._lock:
            self._forget_key(grip)
            self._by_slot.pop(grip.held.slot, None)

    def _forget_key(self, grip: HeldLease) -> None:
        if self._by_key.get(grip.grant.hold.key) is grip:
            del self._by_key[grip.grant.hold.key]


def admitted(grips: HeldLeases, made: list[HeldLease], held: list[InFlightJob]) -> None:
    """Put what the ledger has made of these grips beside them."""
    of_owned: dict[Any, HeldLease] = {grip.owned: grip for grip in made}
    for one in held:
        grips.take(of_owned[one.owned], one)
