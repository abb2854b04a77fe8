"""The deliveries that a notifier holds, from handoff or claim until their try is recorded: bounded in number and in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streams.notify.pending_delivery import PendingDelivery

MIB = 1 << 20


@dataclass(slots=True)
class Load:
    """A number of deliveries and their bytes."""

    number: int = 0
    bytes: int = 0

    def add(self, delivery: PendingDelivery, sign: int = 1) -> None:
        self.number += sign
        self.bytes += sign * delivery.size

    def add_all(self, deliveries: Sequence[PendingDelivery], sign: int = 1) -> None:
        self.number += sign * len(deliveries)
        self.bytes += sign * sum([delivery.size for delivery in deliveries])

    def reaches(self, limit: Load, share: int = 1) -> bool:
        """True if this is at least the limit, divided by `share`, in number or in bytes."""
        return self.number * share >= limit.number or self.bytes * share >= limit.bytes


#: With these held, the sink hands off no more: any notifier may claim the next ones.
HANDED_OFF = Load(20_000, 64 * MIB)
#: So many are claimed at most. A tenant gets no more while it has as much as is still free, a destination while it has half of
#: that: so there is always room for another one.
CLAIMED = Load(4_000, 32 * MIB)


class HeldDeliveries:
    """Changed by the event loop only. Handed-off and claimed deliveries have limits of their own, so that a backlog that was
    handed off does not keep the deliveries of others from being claimed."""

    def __init__(self) -> None:
        self.handed_off = Load()
        self.claimed = Load()
        #: By delivery id; the text is the claimed delivery's destination, None for one that was handed off.
        self._held: dict[bytes, tuple[PendingDelivery, str | None]] = {}
        self._tenants: dict[str, Load] = {}
        self._destinations: dict[str, Load] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, delivery_id: bytes) -> bool:
        return delivery_id in self._held

    def add(self, delivery: PendingDelivery, destination: str, *, claimed: bool) -> None:
        self._held[delivery.delivery_id] = delivery, destination if claimed else None
        (self.claimed if claimed else self.handed_off).add(delivery)
        if claimed:
            self._tenants.setdefault(delivery.tenant, Load()).add(delivery)
            self._destinations.setdefault(destination, Load()).add(delivery)

    def remove(self, delivery_id: bytes) -> None:
        delivery, destination = self._held.pop(delivery_id, (None, None))
        if delivery is None:
            return
        if destination is None:
            self.handed_off.add(delivery, -1)
            return
        self.claimed.add(delivery, -1)
        for loads, name in ((self._tenants, delivery.tenant), (self._destinations, destination)):
            loads[name].add(delivery, -1)
            if not loads[name].number:
                del loads[name]

    @property
    def free(self) -> Load:
        """How many may still be claimed."""
        return Load(max(0, CLAIMED.number - self.claimed.number), max(0, CLAIMED.bytes - self.claimed.bytes))

    def full_tenants(self) -> list[str]:
        free = self.free
        return [name for name, load in self._tenants.items() if load.reaches(free)]

    def full_destinations(self) -> list[str]:
        free = self.free
        return [name for name, load in self._destinations.items() if load.reaches(free, 2)]
