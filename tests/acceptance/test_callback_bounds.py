"""A destination that breaks slows no other one: its p99 stays within 1.2 times of what it was before, at the same load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.delivery_try import DeliveryTry, OutgoingCallback
from connectors.memory import MemoryDatabase
from streams import wiring
from streams.notify.dispatcher import DeliveryDispatcher
from streams.notify.pending_delivery import PendingDelivery
from streams.settings import Settings
from tests.harness.callback_server import LOCAL
from tests.harness.dispatching import until
from tests.harness.unreliable_backend import UnreliableBackend

pytestmark = pytest.mark.accept

#: So many that the start of the fault, until the circuit opens, is less than one percent.
COUNT, EVERY_S = 4000, 0.002
#: The best of this many tries counts, because the machine may do other work at the same time.
TRIES = 3


class Timed:
    """Delivers, and notes how long the sound backend's deliveries took since their handoff."""

    def __init__(self, deliverer: Deliverer) -> None:
        self._deliverer = deliverer
        self.handed_off: dict[str, float] = {}
        self.took_s: list[float] = []

    async def deliver(self, callback: OutgoingCallback) -> DeliveryTry:
        tried = await self._deliverer.deliver(callback)
        if (began := self.handed_off.get(callback.delivery_id)) is not None:
            self.took_s.append(time.perf_counter() - began)
        return tried


async def p99_s(settings: Settings, *, breaks: bool) -> float:
    """Return the p99 of one destination beside another one with the same load, which answers or (`breaks`) never does."""
    stop = asyncio.Event()
    async with (
        UnreliableBackend(reliable=True) as sound,
        UnreliableBackend(reliable=not breaks) as other,
        Deliverer(LOCAL, timeout_s=0.5, per_destination=16) as http,
    ):
        timed = Timed(http)
        made = DeliveryDispatcher(timed, wiring.delivery_store(settings), per_destination=16, poll_s=0.25, seed=0)
        running = asyncio.create_task(made.run(stop))
        await until(lambda: made.notifier_id is not None)
        for n in range(COUNT):
            hand_off(made, other.url, n, lambda _: None)
            hand_off(made, sound.url, COUNT + n, lambda id_: timed.handed_off.update({id_: time.perf_counter()}))
            await asyncio.sleep(EVERY_S)
        await until(lambda: len(timed.took_s) == COUNT)
        stop.set()
        await running
    return sorted(timed.took_s)[COUNT * 99 // 100]


def hand_off(dispatcher: DeliveryDispatcher, url: str, n: int, note: Callable[[str], object]) -> None:
    delivery = PendingDelivery(n.to_bytes(16, "big"), url, f"tenant-{n % 2}", b'{"job": %d, "end": true}' % n)
    note(delivery.callback().delivery_id)
    notifier = dispatcher.notifier_id
    assert notifier is not None
    dispatcher.hand_off(notifier, [delivery])


def test_a_destination_that_never_answers_leaves_the_p99_of_another_within_1_2_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.harness.unreliable_backend.REFUSALS", ((0, 1.0),))
    ratios = []
    for n in range(TRIES):
        settings = Settings(database_url=SecretStr(f"memory:p99-{n}"), home=tmp_path)
        before = asyncio.run(p99_s(settings, breaks=False))
        after = asyncio.run(p99_s(settings, breaks=True))
        MemoryDatabase.forget(f"p99-{n}")
        print(f"p99 {before * 1000:.2f} ms, beside a broken destination {after * 1000:.2f} ms")
        ratios.append(after / before)
    assert min(ratios) <= 1.2
