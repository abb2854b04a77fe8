"""Notify on a thread of the sink: an outcome's delivery starts right after its commit, without a read from the store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from schemas.errors import StartupError
from streams.health.loop_threads import LoopThreads
from streams.notify.dispatcher import DeliveryDispatcher
from streams.notify.health import NotifierHealth
from streams.notify.pending_delivery import PendingDelivery
from streams.notify.service import deliver_until
from streams.process import loop_factory
from streams.settings import Settings

#: Seconds between two polls of the store. They find due retries and what other notifiers left; submitted deliveries need none.
POLL_S = 0.25


class InlineNotifier:
    """Start it, submit deliveries from one thread, stop it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._dispatcher: DeliveryDispatcher | None = None
        self._thread: threading.Thread | None = None
        self.health = NotifierHealth(settings)

    def start(self, loops: LoopThreads) -> None:
        """Start the thread, one of these loops. Raises StartupError if it could not start its work."""
        self._thread = loops.new("callback", self._run, self._stop.is_set, daemon=False)
        self._thread.start()
        self._ready.wait()
        if self._dispatcher is None:
            raise StartupError("The notifier could not start; its error is in the log.")

    def stop(self) -> None:
        """Finish the tries in flight."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def notifier_id(self) -> bytes | None:
        """Notifier id to write on the next deliveries; None lets any notifier claim them."""
        return None if self._dispatcher is None else self._dispatcher.notifier_id

    def submit(self, notifier: bytes, deliveries: Sequence[PendingDelivery]) -> None:
        """Send these deliveries, which were stored under this notifier id just now."""
        if deliveries and self._dispatcher is not None:
            self._dispatcher.hand_off(notifier, deliveries)

    def reconcile(self) -> None:
        """Look soon for deliveries that were stored under `notifier_id` but never submitted."""
        if self._dispatcher is not None:
            self._dispatcher.reconcile()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(deliver_until(self._settings, self._stop, POLL_S, self.health, self._started))
        finally:
            self._ready.set()

    def _started(self, dispatcher: DeliveryDispatcher) -> None:
        self._dispatcher = dispatcher
        self._ready.set()
