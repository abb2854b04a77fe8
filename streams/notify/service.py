"""Notify as a service of its own: it claims the deliveries that sinks have stored. Several may run side by side."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.profile_file import callback_profiles
from connectors.callbacks.shaped import ShapedDeliverer
from schemas.addresses import AllowRules
from schemas.errors import SluiceError
from streams import logs, wiring
from streams.health.loop_health import tracked
from streams.health.loop_threads import LoopThreads
from streams.health.report import Health, evaluate
from streams.notify.dispatcher import DeliveryDispatcher
from streams.notify.health import NotifierHealth
from streams.notify.slots import ALL
from streams.process import loop_factory, tune_gc
from streams.settings import Settings

log = logs.get("notify")

#: True if a job with this profile, processor and callback URL has progress callbacks.
ProgressRule = Callable[[str | None, str, str | None], bool]

#: Seconds between two polls of an idle store; each reads a small index.
POLL_S = 0.05
#: Seconds between two looks at the service's stop event.
TURN_S = 0.1


class Notifier:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._health = NotifierHealth(settings)
        self._loops = LoopThreads("notify service", log)
        self._database = wiring.database_probe(settings)

    def health(self, *, ask: bool = True) -> Health:
        """Return the health: ready while its lease in the database is valid and the database answers."""
        health = self._health
        missing = [health.missing, self._database.fault() if ask else None]
        dead = self._loops.dead
        return evaluate(health.loops, time.monotonic(), dead=dead, missing=missing, details=health.details)

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set; then finish the tries in flight. Raises LoopDied if the loop ended by itself."""
        tune_gc()
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(deliver_until(self._settings, stop, POLL_S, self._health))
        except SluiceError:  # a setting, or no local stack: it has a next step of its own
            raise
        except Exception as error:  # noqa: BLE001 - noted, and raised below
            self._loops.died("callback", error)
        self._loops.raise_if_dead()


async def deliver_until(
    settings: Settings,
    stop: threading.Event,
    poll_s: float,
    health: NotifierHealth,
    started: Callable[[DeliveryDispatcher], None] = lambda _: None,
) -> None:
    """Run a dispatcher on this loop until `stop` is set. `started` gets the dispatcher before it has any delivery.

    Raises what ended the dispatcher before.
    """
    ended = asyncio.Event()
    store = tracked(wiring.delivery_store(settings), health.store_loop, "Postgres")
    async with deliverer(settings) as http:
        dispatcher = DeliveryDispatcher(http, store, per_destination=settings.callback_connections, poll_s=poll_s)
        health.dispatcher = dispatcher
        started(dispatcher)
        log.info("notify_started")
        running = asyncio.create_task(dispatcher.run(ended))
        while not stop.is_set() and not running.done():
            health.beat()
            await asyncio.wait([running], timeout=TURN_S)
        ended.set()
        await running
        log.info("notify_stopped")


def progress_rule(settings: Settings) -> ProgressRule | None:
    """Return which jobs have progress callbacks; None if none has. Raises UsageError for a file of callback shapes that can't
    be used."""
    profiles = callback_profiles(settings.callback_shapes)
    return profiles.wants_progress if profiles.profiles else None


def deliverer(settings: Settings) -> ShapedDeliverer:
    """Return the deliverer of these settings. Raises UsageError for a file of callback shapes that can't be used."""
    plain = Deliverer(
        AllowRules.parse(",".join(settings.callbacks_allowed)),
        [secret.get_secret_value() for secret in settings.callback_secrets],
        settings.backend,
        timeout_s=settings.callback_timeout_s,
        per_destination=settings.callback_connections,
        names_at_once=settings.callback_connections * ALL,
    )
    profiles = callback_profiles(settings.callback_shapes)
    return ShapedDeliverer(plain, profiles, lambda: wiring.object_store(settings).fetch)
