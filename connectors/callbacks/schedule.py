"""When a delivery is tried again, and when it is parked. Pure: the caller brings the random numbers and keeps the time."""

from __future__ import annotations

import random

#: Seconds after the first, second, … failed try. Dense at first (a restart), sparse later (an outage over lunch).
DELAYS_S = (0.5, 2.0, 8.0, 30.0, 120.0, 600.0, 3600.0, 21600.0)
#: A backend may ask for patience, but not for ever.
MAX_RETRY_AFTER_S = 21600.0
#: Each delay is spread by this share in both directions, so that what failed together does not come back together.
JITTER = 0.25


def next_try(tries: int, rng: random.Random, retry_after_s: float | None = None) -> float | None:
    """Seconds until the next try after `tries` failed ones (1 or more); None: park it, an operator may resend it.

    `retry_after_s` is what the backend asked for: never earlier than that, up to a limit.
    """
    if tries < 1:
        raise ValueError(f"tries counts failed tries and begins at 1, got {tries}")
    if tries > len(DELAYS_S):
        return None
    delay = DELAYS_S[tries - 1] * rng.uniform(1 - JITTER, 1 + JITTER)
    if retry_after_s is None:
        return delay
    asked = min(max(retry_after_s, 0.0), MAX_RETRY_AFTER_S)
    return max(delay, asked * rng.uniform(1, 1 + JITTER))
