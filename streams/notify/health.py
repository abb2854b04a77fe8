"""How a courier is: its event loop turns, and its lease in the database is alive. Read from other threads."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from streams.health.loop_health import LoopHealth
from streams.notify.dispatcher import DeliveryDispatcher
from streams.settings import Settings

BEAT_S = 1.0


class NotifierHealth:
    """Made before the event loop is; `courier` comes when there is one."""

    def __init__(self, settings: Settings) -> None:
        self._loop = LoopHealth("callback loop", settings.health_patience_s)
        #: Of the thread that asks the store, which may wait for long without the loop's doing.
        self.store = LoopHealth("callback loop", math.inf)
        self.pulses = (self._loop, self.store)
        self.courier: DeliveryDispatcher | None = None

    async def beat(self) -> None:
        """A task on the loop: what hangs the loop stops it."""
        while True:
            self._loop.beat()
            await asyncio.sleep(BEAT_S)

    @property
    def missing(self) -> str | None:
        if self.courier is None:
            return "callbacks have not started"
        return None if self.courier.leased else "callbacks wait: their lease in the database has run out"

    @property
    def details(self) -> dict[str, Any]:
        return {"held": 0 if self.courier is None else self.courier.held}
