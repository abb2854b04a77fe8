"""Decides which waiting delivery is tried next: limits on concurrent tries, turns, and open circuits. No I/O.

A destination that stalls or fails costs its own slots only, and so does a tenant with any number of such destinations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from connectors.callbacks.delivery_try import DeliveryTry
from connectors.callbacks.resolve import destination_of
from connectors.delivery_store import DestinationTries, NotedCircuit, authority_of
from streams.notify.delivery_queues import DeliveryQueues
from streams.notify.destination import Destination, Destinations
from streams.notify.pending_delivery import PendingDelivery

#: Concurrent tries in all and of one tenant, as multiples of those to one destination.
ALL = 4
TENANT = 2


class Slot(NamedTuple):
    """A try that may start."""

    delivery: PendingDelivery
    destination: Destination


class Refused(NamedTuple):
    """Deliveries to a destination whose circuit is open for `retry_in_s` more seconds."""

    deliveries: tuple[PendingDelivery, ...]
    retry_in_s: float


class DeliverySlots:
    """`per_destination`: concurrent tries to one host and port."""

    def __init__(self, per_destination: int) -> None:
        self._per_destination = per_destination
        self._free = per_destination * ALL
        self._destinations = Destinations()
        self._queues = DeliveryQueues()
        self._trying: dict[str, int] = {}  # tries in flight by tenant

    def add(self, delivery: PendingDelivery) -> str:
        """Queue a delivery; return the name of its destination."""
        name, authority = _names_of(delivery.destination)
        self._destinations.get(name).spelled(authority)
        self._queues.add(delivery, name)
        return name

    def drain(self) -> Iterator[PendingDelivery]:
        """Remove and return every queued delivery."""
        return self._queues.drain()

    def take(self) -> Slot | Refused | None:
        """Return the next try that may start, until `finish`; or deliveries whose circuit is open; None if nothing may."""
        found = self._queues.next(self._tenant_may, self._destination_may) if self._free else None
        if found is None:
            return None
        name, delivery = found
        destination = self._destinations.get(name)
        if not destination.breaker.acquire():
            return Refused((delivery, *self._queues.drain(name)), destination.breaker.retry_in_s())
        self._free -= 1
        destination.active += 1
        self._trying[delivery.tenant] = self._trying.get(delivery.tenant, 0) + 1
        return Slot(delivery, destination)

    def finish(self, slot: Slot, tried: DeliveryTry) -> None:
        """Free the slot, and count its try for or against its destination."""
        self._free += 1
        slot.destination.active -= 1
        slot.destination.update_breaker(tried)
        tenant = slot.delivery.tenant
        slot.destination.count(tenant, tried)
        self._trying[tenant] -= 1
        if not self._trying[tenant]:
            del self._trying[tenant]

    def blocked(self, full: Iterable[str]) -> list[str]:
        """Return the spellings of the destinations whose circuit is open, and of those in `full`."""
        return self._destinations.blocked(full)

    def take_health(self) -> tuple[list[DestinationTries], list[NotedCircuit]]:
        """Return the tries of each tenant and destination since the last call, and the circuits that are open or were."""
        return self._destinations.take_health()

    def _tenant_may(self, tenant: str) -> bool:
        return self._trying.get(tenant, 0) < self._per_destination * TENANT

    def _destination_may(self, name: str) -> bool:
        return self._destinations.get(name).active < self._per_destination


@lru_cache(maxsize=4096)
def _names_of(url: str) -> tuple[str, str]:
    """Return a URL's destination and authority. Most deliveries go to few URLs."""
    return destination_of(url), authority_of(url)
