"""The backend of a flow: receives callbacks in memory, keeps them, and answers as the test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from connectors.callbacks.delivery_try import DeliveryTry, OutgoingCallback, answer_error, result_of
from connectors.memory import MemoryDatabase
from streams import wiring
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Callback:
    """A POST that the backend received. `event` is its body, `status` the answer. Tries of a delivery share a `delivery_id`."""

    delivery_id: str
    url: str
    event: dict[str, Any]
    status: int

    @property
    def job_id(self) -> str:
        return str(self.event["data"]["job_id"])

    @property
    def state(self) -> str:
        return str(self.event["data"]["status"])


class Backend:
    """`answer`: the status of every answer, or a function that returns it for a URL and an event."""

    def __init__(self) -> None:
        self.callbacks: list[Callback] = []
        self.answer: int | Callable[[str, dict[str, Any]], int] = 200

    async def deliver(self, delivery: OutgoingCallback) -> DeliveryTry:
        assert isinstance(delivery.body, bytes)
        event = json.loads(delivery.body)
        status = self.answer if isinstance(self.answer, int) else self.answer(delivery.destination, event)
        self.callbacks.append(Callback(delivery.delivery_id, delivery.destination, event, status))
        error = None if 200 <= status < 300 else answer_error(status, b"")
        return DeliveryTry(status, 0.0, error, result_of(status))


def deliver_due(settings: Settings, database: MemoryDatabase, backend: Backend) -> None:
    """Run a dispatcher until nothing is due by the database's clock."""
    if _is_due(database):
        asyncio.run(_deliver(settings, database, backend))


async def _deliver(settings: Settings, database: MemoryDatabase, backend: Backend) -> None:
    from streams.notify.dispatcher import DeliveryDispatcher

    dispatcher = DeliveryDispatcher(
        backend,
        wiring.delivery_store(settings),
        per_destination=settings.callback_connections,
        poll_s=0.0005,
        seed=0,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(dispatcher.run(stop))
    while _is_due(database) and not running.done():  # noqa: ASYNC110 - a store has nothing to await
        await asyncio.sleep(0.0005)
    stop.set()
    await running


def _is_due(database: MemoryDatabase) -> bool:
    """True if a delivery is due, or is being tried."""
    with database.reading() as now:
        pending = [one for one in database.deliveries.values() if one.state == "pending"]
        return any(one.notifier is not None or one.due_at <= now for one in pending)
