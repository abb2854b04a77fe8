"""One destination's deliveries: a queue, a bound on how many are under way, and a circuit breaker."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from connectors.callbacks.breaker import Breaker
from connectors.callbacks.delivery_try import DeliveryTry, TryResult
from streams.notify.pending_delivery import PendingDelivery


@dataclass(slots=True)
class Destination:
    """`active`: coroutines that work off the queue now."""

    breaker: Breaker
    queue: deque[PendingDelivery] = field(default_factory=deque)
    active: int = 0

    def judge(self, made: DeliveryTry) -> None:
        """Let the breaker know what a try says of the destination itself."""
        if made.result is TryResult.REFUSED:
            self.breaker.abandoned()
        elif made.result is TryResult.RETRY and _its_own_failure(made.status):
            self.breaker.failed()
        else:
            self.breaker.succeeded()


def _its_own_failure(status: int | None) -> bool:
    """No answer, an overload or a server error; a 4xx is an answer to this one request."""
    return status is None or status >= 500 or status == 429


def name_of(url: str) -> str:
    """What counts as one destination: a URL's host and port, as written."""
    return url.partition("://")[2].partition("/")[0].lower()
