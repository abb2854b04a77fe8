"""Schedule of a delivery's tries. No I/O: the caller supplies random numbers and the clock."""

from __future__ import annotations

import random

#: Seconds to wait after the first, second, … failed try. Short at first (a restart), long later (an outage of hours).
DELAYS_S = (0.5, 2.0, 8.0, 30.0, 120.0, 600.0, 3600.0, 21600.0)
#: Longest wait that a backend may request with Retry-After.
MAX_RETRY_AFTER_S = 21600.0
#: Each delay varies by this share in both directions, so that deliveries that failed together are retried apart.
JITTER = 0.25


def next_try(tries: int, rng: random.Random, retry_after_s: float | None = None) -> float | None:
    """Return the seconds until the next try after `tries` failed ones (1 or more); None to park the delivery for an operator.

    `retry_after_s`: wait that the backend requested. The next try is never earlier than that, up to MAX_RETRY_AFTER_S.
    """
    if tries < 1:
        raise ValueError(f"tries counts failed tries and begins at 1, got {tries}")
    if tries > len(DELAYS_S):
        return None
    delay = DELAYS_S[tries - 1] * rng.uniform(1 - JITTER, 1 + JITTER)
    if retry_after_s is None:
        return delay
    requested = min(max(retry_after_s, 0.0), MAX_RETRY_AFTER_S)
    return max(delay, requested * rng.uniform(1, 1 + JITTER))
