"""How long one step may wait in place for a dependency."""

from __future__ import annotations

import time

from streams.settings import Settings

#: Seconds of a short interruption, such as a failover, that the sink waits for without leaving its group.
IN_PLACE_S = 10.0
_POLL_INTERVAL_MS = 300_000  # the default of streams/log/kafka.py


class Patience:
    """The time that all waits of a step share. The step then ends with Unreachable and the sink waits outside its group,
    because a member that does not poll for `max.poll.interval.ms` holds up every rebalance and is expelled."""

    def __init__(self, settings: Settings) -> None:
        interval_ms = int(settings.kafka_config.get("max.poll.interval.ms", _POLL_INTERVAL_MS))
        self._limit_s = min(IN_PLACE_S, interval_ms / 3000)
        self.renew()

    def renew(self) -> None:
        """Begin a step."""
        self._until = time.monotonic() + self._limit_s

    @property
    def left_s(self) -> float:
        return self._until - time.monotonic()
