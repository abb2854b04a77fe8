"""Notify on a thread of the sink: an outcome's delivery starts right after its commit, with nothing read back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from schemas.errors import StartupError
from streams.health.loop_health import thread_died
from streams.notify.dispatcher import DeliveryDispatcher
from streams.notify.health import NotifierHealth
from streams.notify.pending_delivery import PendingDelivery
from streams.notify.service import deliver_until, loop_factory
from streams.settings import Settings

#: What was handed over needs no asking; this finds retries that are due and what others left behind.
POLL_S = 0.25


class InlineNotifier:
    """Start it, hand over, stop it. Handing over is done by one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._courier: DeliveryDispatcher | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="notify")
        self.vitals = NotifierHealth(settings)

    def start(self) -> None:
        """Raises StartupError when the thread could not begin."""
        self._thread.start()
        self._ready.wait()
        if self._courier is None:
            raise StartupError("The notifier could not start; its error is in the log.")

    @property
    def dead(self) -> str | None:
        """Whether its thread has ended though nobody told it to."""
        return thread_died(self._thread, self._stop, "callback loop")

    def stop(self) -> None:
        """Finish what is under way."""
        self._stop.set()
        self._thread.join()

    @property
    def taker(self) -> bytes | None:
        return self._courier.taker if self._courier is not None and self._thread.is_alive() else None

    def hand(self, owed: Sequence[PendingDelivery]) -> None:
        if owed and self._loop is not None and self._courier is not None:
            self._loop.call_soon_threadsafe(self._courier.accept, owed)

    def reconcile(self) -> None:
        if self._courier is not None:
            self._courier.reconcile()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(deliver_until(self._settings, self._stop, POLL_S, self.vitals, self._started))
        finally:
            self._ready.set()

    def _started(self, courier: DeliveryDispatcher) -> None:
        self._loop, self._courier = asyncio.get_running_loop(), courier
        self._ready.set()
