"""The deliveries of one destination: a queue, a limit on concurrent tries, and a circuit breaker."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from connectors.callbacks.breaker import Breaker
from connectors.callbacks.delivery_try import DeliveryTry, TryResult
from streams.notify.pending_delivery import PendingDelivery


@dataclass(slots=True)
class Destination:
    """`active`: the number of coroutines that work off the queue now."""

    breaker: Breaker
    queue: deque[PendingDelivery] = field(default_factory=deque)
    active: int = 0

    def update_breaker(self, tried: DeliveryTry) -> None:
        """Count a try for or against the destination as a whole."""
        if tried.result is TryResult.REFUSED:
            self.breaker.abandoned()
        elif tried.result is TryResult.RETRY and _is_destinations_fault(tried.status):
            self.breaker.failed()
        else:
            self.breaker.succeeded()


def _is_destinations_fault(status: int | None) -> bool:
    """True for no answer, an overload or a server error. Any other 4xx only concerns the one request."""
    return status is None or status >= 500 or status == 429


def name_of(url: str) -> str:
    """Return the destination that a URL belongs to: its host and port, as written."""
    return url.partition("://")[2].partition("/")[0].lower()
