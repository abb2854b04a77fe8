"""Health of a notifier: its event loop turns, and its lease in the database is valid. Read from other threads."""

from __future__ import annotations

import math
from typing import Any

from streams.health.loop_health import LoopHealth
from streams.notify.dispatcher import DeliveryDispatcher
from streams.notify.held_deliveries import Load
from streams.settings import Settings


class NotifierHealth:
    """Created before the event loop; `dispatcher` is set once the loop runs."""

    def __init__(self, settings: Settings) -> None:
        self._loop = LoopHealth("callback loop", settings.health_patience_s)
        #: Tracks the thread that calls the store. It may wait long without the event loop being at fault.
        self.store_loop = LoopHealth("callback loop", math.inf)
        self.loops = (self._loop, self.store_loop)
        self.dispatcher: DeliveryDispatcher | None = None

    def beat(self) -> None:
        """Note a turn of the event loop."""
        self._loop.beat()

    @property
    def missing(self) -> str | None:
        if self.dispatcher is None:
            return "callbacks have not started"
        return None if self.dispatcher.lease_valid else "callbacks wait: their lease in the database has run out"

    @property
    def details(self) -> dict[str, Any]:
        held = Load() if self.dispatcher is None else self.dispatcher.held
        return {"held": held.number, "held_bytes": held.bytes}
