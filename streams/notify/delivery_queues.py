"""Deliveries that wait for a slot. Tenants take turns, and the destinations of a tenant take turns. Pure.

Turns keep the deliveries of one tenant or destination, however many or slow, from delaying those of others for long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from streams.notify.pending_delivery import PendingDelivery

Queue = deque[PendingDelivery]


class DeliveryQueues:
    """First in, first out within a queue, which is one tenant and one destination."""

    def __init__(self) -> None:
        #: By tenant, then by destination; the first tenant and its first destination are next.
        self._queues: dict[str, dict[str, Queue]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, delivery: PendingDelivery, destination: str) -> None:
        self._queues.setdefault(delivery.tenant, {}).setdefault(destination, deque()).append(delivery)
        self._count += 1

    def next(
        self, tenant_may: Callable[[str], bool], destination_may: Callable[[str], bool]
    ) -> tuple[str, PendingDelivery] | None:
        """Remove and return the next delivery with its destination, of those that may start one; None if there is none."""
        for tenant, queues in self._queues.items():
            if not tenant_may(tenant):
                continue
            for destination in queues:
                if destination_may(destination):
                    return destination, self._pop(tenant, destination)
        return None

    def drain(self, destination: str | None = None) -> Iterator[PendingDelivery]:
        """Remove and return every delivery to this destination; None: to all of them."""
        for tenant in [*self._queues]:
            queues = self._queues[tenant]
            for name in [*queues] if destination is None else [destination] * (destination in queues):
                removed = queues.pop(name)
                self._count -= len(removed)
                yield from removed
            if not queues:
                del self._queues[tenant]

    def _pop(self, tenant: str, destination: str) -> PendingDelivery:
        """Take from this queue; it and its tenant go behind the others."""
        queues = self._queues[tenant]
        queue = queues[destination]
        delivery = queue.popleft()
        self._count -= 1
        if not queue:
            del queues[destination]
        elif len(queues) > 1:
            queues[destination] = queues.pop(destination)
        if not queues:
            del self._queues[tenant]
        elif len(self._queues) > 1:
            self._queues[tenant] = self._queues.pop(tenant)
        return delivery
