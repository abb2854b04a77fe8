"""A destination of callbacks, a host and port: a limit on concurrent tries, a circuit breaker, and counts of its tries."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from connectors.callbacks.breaker import Breaker, Circuit
from connectors.callbacks.delivery_try import DeliveryTry, TryResult, is_destinations_fault
from connectors.delivery_store import DestinationTries, NotedCircuit

#: Spellings of a destination that are remembered.
_SPELLINGS = 8
#: Destinations that are remembered, besides those with tries in flight: a tenant may name any number of hosts.
_REMEMBERED = 4096


#: Characters of a tenant or destination and of an error that are noted in the store.
_LONGEST, _LONGEST_ERROR = 256, 500


@dataclass(slots=True)
class TryCounts:
    delivered: int = 0
    failed: int = 0
    last_error: str | None = None


@dataclass(slots=True)
class Destination:
    """`active`: the number of tries in flight. `spellings`: its host and port as the URLs have it, in lower case. `counts`: of
    each tenant's tries since `Destinations.take_health`. `noted_open`: the store knows that its circuit is open."""

    breaker: Breaker
    active: int = 0
    spellings: set[str] = field(default_factory=set)
    counts: dict[str, TryCounts] = field(default_factory=dict)
    noted_open: bool = False

    def count(self, tenant: str, tried: DeliveryTry) -> None:
        counts = self.counts.get(tenant)
        if counts is None:
            counts = self.counts[tenant] = TryCounts()
        if tried.result is TryResult.DELIVERED:
            counts.delivered += 1
        elif tried.counts:
            counts.failed += 1
            counts.last_error = tried.error

    def update_breaker(self, tried: DeliveryTry) -> None:
        """Count a try for or against the destination as a whole."""
        if tried.result is TryResult.DELIVERED:
            self.breaker.succeeded()
        elif tried.result is TryResult.REFUSED or not tried.sent:
            self.breaker.abandoned()
        elif tried.result is TryResult.RETRY and is_destinations_fault(tried.status):
            self.breaker.failed()
        else:
            self.breaker.succeeded()

    def spelled(self, authority: str) -> None:
        if len(self.spellings) < _SPELLINGS:
            self.spellings.add(authority)


class Destinations:
    """All destinations by name. Those that did not fail lately are forgotten first, then the oldest."""

    def __init__(self) -> None:
        self._all: dict[str, Destination] = {}

    def get(self, name: str) -> Destination:
        destination = self._all.get(name)
        if destination is None:
            if len(self._all) >= _REMEMBERED:
                self._forget_half()
            destination = self._all[name] = Destination(Breaker(time.monotonic))
        return destination

    def blocked(self, full: Iterable[str]) -> list[str]:
        """Return the spellings of those that get no try now (see `Breaker.blocked`), and of those in `full`."""
        found = {name for name, destination in self._all.items() if destination.breaker.blocked} | set(full)
        return [spelling for name in found if name in self._all for spelling in self._all[name].spellings]

    def take_health(self) -> tuple[list[DestinationTries], list[NotedCircuit]]:
        """Return the tries since the last call, and circuits that are open or were."""
        tries, circuits = [], []
        for name, destination in self._all.items():
            if not name or len(name) > _LONGEST or "\0" in name:  # no key of an index
                continue
            for tenant, counts in destination.counts.items():
                if len(tenant) > _LONGEST or "\0" in tenant:
                    continue
                error = None if counts.last_error is None else counts.last_error[:_LONGEST_ERROR]
                tries.append(DestinationTries(tenant, name, counts.delivered, counts.failed, error))
            destination.counts = {}
            is_open = destination.breaker.state is not Circuit.CLOSED
            if is_open or destination.noted_open:
                retry_in_ms = int(destination.breaker.retry_in_s() * 1000) if is_open else None
                circuits.append(NotedCircuit(name, retry_in_ms))
            destination.noted_open = is_open
        return tries, circuits

    def _forget_half(self) -> None:
        idle = [name for name, destination in self._all.items() if not destination.active and not destination.counts]
        idle.sort(key=lambda name: self._all[name].breaker.failing)  # stable: the oldest first
        for name in idle[: _REMEMBERED // 2]:
            del self._all[name]
