"""A dispatcher with a deliverer made for a test, on a store in memory."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from connectors.callbacks.delivery_try import DeliveryTry, OutgoingCallback, TryResult
from connectors.memory import MemoryDatabase
from connectors.memory.delivery_store import MemoryDeliveryStore
from schemas.errors import Unreachable
from streams.notify.dispatcher import DeliveryDispatcher
from streams.notify.pending_delivery import PendingDelivery
from tests.harness.stores import Stores, ended, new_job, requested

OK = DeliveryTry(200, 1.0, None, TryResult.DELIVERED)
Answer = Callable[[OutgoingCallback], Awaitable[DeliveryTry]]


async def accepts(_: OutgoingCallback) -> DeliveryTry:
    return OK


class Deliverer:
    """Answers each try with `answer`; counts the tries in flight."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.tried: list[str] = []
        self.active: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def deliver(self, callback: OutgoingCallback) -> DeliveryTry:
        self.tried.append(callback.delivery_id)
        for name in ("all", callback.destination.partition("?")[0]):
            self.active[name] += 1
            self.most[name] = max(self.most[name], self.active[name])
        try:
            return await self._answer(callback)
        finally:
            for name in ("all", callback.destination.partition("?")[0]):
                self.active[name] -= 1


def store_deliveries(
    stores: Stores, url: str, count: int = 1, *, tenant: str = "one", notifier: bytes | None = None
) -> None:
    for _ in range(count):
        head: dict[str, Any] = {"callback_url": url, "tenant": tenant}
        job = new_job()
        stores.store(requested(job, 0, header=head), ended(job, 1, header=head), notifier=notifier)


def states(database: MemoryDatabase, host: str = "") -> Counter[str]:
    return Counter(one.state for one in database.deliveries.values() if host in one.destination)


@asynccontextmanager
async def dispatching_to(
    deliverer: Deliverer, store: MemoryDeliveryStore, per_destination: int = 2
) -> AsyncIterator[DeliveryDispatcher]:
    stop = asyncio.Event()
    made = DeliveryDispatcher(deliverer, store, per_destination=per_destination, poll_s=0.001, seed=0)
    running = asyncio.create_task(made.run(stop))
    try:
        yield made
    finally:
        stop.set()
        await asyncio.wait_for(running, 20)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a store has nothing to await
            await asyncio.sleep(0.001)


def delivery(url: str, tenant: str = "one", size: int = 10) -> PendingDelivery:
    return PendingDelivery(uuid.uuid4().bytes, url, tenant, b"x" * size)


class Strange(Exception):
    """Nothing that the dispatcher knows."""


def unless(away: list[bool], call: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any) -> Any:
        if away[0]:
            raise Unreachable("Postgres is away.")
        return call(*args)

    return wrapped
