"""Notify as a service of its own: it claims the deliveries that sinks have stored. Several may run side by side."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.guard import AllowRules
from streams import logs, wiring
from streams.health.loop_health import tracked
from streams.health.report import Health, evaluate
from streams.notify.dispatcher import DeliveryDispatcher
from streams.notify.health import NotifierHealth
from streams.process import tune_gc
from streams.settings import Settings

log = logs.get("notify")

#: Seconds between two polls of an idle store; each reads a small index.
POLL_S = 0.05


class Notifier:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._health = NotifierHealth(settings)
        self._database = wiring.database_probe(settings)

    def health(self, *, ask: bool = True) -> Health:
        """Return the health: ready while its lease in the database is valid and the database answers."""
        health = self._health
        missing = [health.missing, self._database.fault() if ask else None]
        return evaluate(health.loops, time.monotonic(), missing=missing, details=health.details)

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set; then finish the tries in flight."""
        tune_gc()
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(deliver_until(self._settings, stop, POLL_S, self._health))


async def deliver_until(
    settings: Settings,
    stop: threading.Event,
    poll_s: float,
    health: NotifierHealth,
    started: Callable[[DeliveryDispatcher], None] = lambda _: None,
) -> None:
    """Run a dispatcher on this loop until `stop` is set. `started` gets the dispatcher before it has any delivery."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    watcher = threading.Thread(
        target=lambda: (stop.wait(), loop.call_soon_threadsafe(ended.set)), name="notify-stop", daemon=True
    )
    watcher.start()
    beat = asyncio.create_task(health.beat())
    store = tracked(wiring.delivery_store(settings), health.store_loop, "Postgres")
    try:
        async with deliverer(settings) as http:
            dispatcher = DeliveryDispatcher(http, store, per_destination=settings.callback_connections, poll_s=poll_s)
            health.dispatcher = dispatcher
            started(dispatcher)
            log.info("notify_started")
            await dispatcher.run(ended)
            log.info("notify_stopped")
    finally:
        beat.cancel()
        store.close()


def deliverer(settings: Settings) -> Deliverer:
    return Deliverer(
        AllowRules.parse(",".join(settings.callbacks_allowed)),
        [secret.get_secret_value() for secret in settings.callback_secrets],
        settings.backend_url or None,
        timeout_s=settings.callback_timeout_s,
        max_connections=settings.callback_connections * 4,
        per_destination=settings.callback_connections,
    )


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory; None if uvloop is not installed."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
