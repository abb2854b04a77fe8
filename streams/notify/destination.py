"""A destination of callbacks, a host and port: a limit on concurrent tries, and a circuit breaker."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from connectors.callbacks.breaker import Breaker
from connectors.callbacks.delivery_try import DeliveryTry, TryResult, is_destinations_fault

#: Spellings of a destination that are remembered.
_SPELLINGS = 8
#: Destinations that are remembered, besides those with tries in flight: a tenant may name any number of hosts.
_REMEMBERED = 4096


@dataclass(slots=True)
class Destination:
    """`active`: the number of tries in flight. `spellings`: its host and port as the URLs have it, in lower case."""

    breaker: Breaker
    active: int = 0
    spellings: set[str] = field(default_factory=set)

    def update_breaker(self, tried: DeliveryTry) -> None:
        """Count a try for or against the destination as a whole."""
        if tried.result is TryResult.REFUSED or not tried.sent:
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

    def _forget_half(self) -> None:
        idle = [name for name, destination in self._all.items() if not destination.active]
        idle.sort(key=lambda name: self._all[name].breaker.failing)  # stable: the oldest first
        for name in idle[: _REMEMBERED // 2]:
            del self._all[name]
