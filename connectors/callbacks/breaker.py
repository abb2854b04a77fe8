"""Circuit breaker: after several failures in a row, no try goes to a destination for a while; then one probe does.

    closed ── `threshold` failures in a row ──▶ open ── `open_s` passed ──▶ half-open ── success ──▶ closed
                                                 ▲                              │
                                                 └──── failure: wait doubled ◀──┘

Without it, a dead backend with a thousand due deliveries costs a thousand timeouts, and other destinations wait behind them.
No I/O: the clock is injected. Not thread-safe: only the delivery loop uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Circuit(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """The breaker of one destination. Call `acquire` before a try, then one of `succeeded`, `failed` and `abandoned`."""

    def __init__(
        self, clock: Callable[[], float], *, threshold: int = 5, open_s: float = 10.0, max_open_s: float = 300.0
    ) -> None:
        self._clock = clock
        self._threshold = threshold
        self._first_open_s = open_s
        self._max_open_s = max_open_s
        self._open_s = open_s
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> Circuit:
        if self._opened_at is None:
            return Circuit.CLOSED
        return Circuit.HALF_OPEN if self.retry_in_s() == 0 else Circuit.OPEN

    def acquire(self) -> bool:
        """True if a try may start now. A half-open breaker lets a single probe through."""
        if self._opened_at is None:  # closed, as nearly always
            return True
        if self.state is Circuit.OPEN or self._probing:
            return False
        self._probing = True
        return True

    @property
    def blocked(self) -> bool:
        """True if `acquire` would refuse a try now."""
        return self._probing or self.state is Circuit.OPEN

    @property
    def failing(self) -> bool:
        """True if the last try that counted has failed."""
        return self._failures > 0

    def retry_in_s(self) -> float:
        """Return the seconds until the next probe may start; 0 if it may start now."""
        if self._opened_at is None:
            return 0.0
        return max(0.0, self._opened_at + self._open_s - self._clock())

    def succeeded(self) -> None:
        """Record that the destination answered, whatever its answer to this request."""
        self._failures, self._opened_at, self._probing = 0, None, False
        self._open_s = self._first_open_s

    def failed(self) -> None:
        self._failures += 1
        if self._probing:
            self._open_s = min(self._open_s * 2, self._max_open_s)
            self._open()
        elif self._opened_at is None and self._failures >= self._threshold:
            self._open()

    def abandoned(self) -> None:
        """Record that the try ended before it showed anything about the destination."""
        self._probing = False

    def _open(self) -> None:
        self._opened_at, self._probing = self._clock(), False
