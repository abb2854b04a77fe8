"""The dispatcher on the stores in memory: whatever one delivery, destination or tenant does costs only itself."""

from __future__ import annotations

import asyncio

import pytest

from connectors.callbacks.delivery_try import DeliveryTry, OutgoingCallback
from connectors.memory import MemoryDatabase
from connectors.memory.delivery_store import MemoryDeliveryStore
from streams.notify import dispatcher as dispatching
from streams.notify import held_deliveries
from streams.notify.held_deliveries import Load
from tests.harness.dispatching import (
    OK,
    Deliverer,
    Strange,
    delivery,
    dispatching_to,
    states,
    store_deliveries,
    until,
)
from tests.harness.stores import Stores


@pytest.mark.parametrize("error", [OverflowError("year 99999999999"), Strange("x"), asyncio.CancelledError()], ids=type)
def test_whatever_a_try_raises_is_a_failed_try_and_others_are_delivered(
    stores: Stores, database: MemoryDatabase, error: BaseException
) -> None:
    async def answer(callback: OutgoingCallback) -> DeliveryTry:
        if "evil" in callback.destination:
            raise error
        return OK

    async def scenario() -> None:
        store_deliveries(stores, "http://evil/", 20)
        store_deliveries(stores, "http://good/", 5)
        async with dispatching_to(Deliverer(answer), MemoryDeliveryStore(database)):
            await until(lambda: states(database, "good") == {"delivered": 5})
            await until(lambda: all(one.notifier is None for one in database.deliveries.values()))

    asyncio.run(scenario())
    evil = [one for one in database.deliveries.values() if "evil" in one.destination]
    assert {one.state for one in evil} == {"pending"}  # due again
    tried = [one for one in evil if one.tries]
    assert 5 <= len(tried) < 20  # then the circuit opened
    assert type(error).__name__ in str(tried[0].try_rows[0].error)


def test_a_stalled_destination_and_a_tenant_with_many_of_them_leave_slots_to_others(
    stores: Stores, database: MemoryDatabase
) -> None:
    async def scenario() -> None:
        stalled = asyncio.Event()

        async def answer(callback: OutgoingCallback) -> DeliveryTry:
            if "stalls" in callback.destination:
                await stalled.wait()
            return OK

        for n in range(8):
            store_deliveries(stores, f"http://stalls{n}/", 10, tenant="loud")
        store_deliveries(stores, "http://good/", 40, tenant="quiet")
        deliverer = Deliverer(answer)
        async with dispatching_to(deliverer, MemoryDeliveryStore(database)):
            await until(lambda: states(database, "good") == {"delivered": 40})
            assert deliverer.most["all"] <= 8
            assert deliverer.active["all"] == 4  # half of the slots are the most that one tenant gets
            assert max(deliverer.most[f"http://stalls{n}/"] for n in range(8)) <= 2
            stalled.set()

    asyncio.run(scenario())


@pytest.mark.parametrize("url", ["http://HOST:80{}", "http://host.{}", "http://host{}"])
def test_a_query_or_another_spelling_is_no_destination_of_its_own(
    stores: Stores, database: MemoryDatabase, url: str
) -> None:
    async def scenario() -> None:
        answering = asyncio.Event()

        async def answer(callback: OutgoingCallback) -> DeliveryTry:
            await answering.wait()
            return OK

        for n in range(10):
            store_deliveries(stores, ("http://host{}" if n % 2 else url).format(f"?{n}"))
        deliverer = Deliverer(answer)
        async with dispatching_to(deliverer, MemoryDeliveryStore(database)) as made:
            await until(lambda: made.held.number == 10 and deliverer.active["all"] > 0)
            answering.set()
            await until(lambda: states(database) == {"delivered": 10})
            assert deliverer.most["all"] == 2

    asyncio.run(scenario())


def test_a_backlog_of_one_destination_is_claimed_in_parts_and_others_go_on(
    stores: Stores, database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_deliveries, "CLAIMED", Load(40, 1 << 20))

    async def scenario() -> None:
        stalled = asyncio.Event()

        async def answer(callback: OutgoingCallback) -> DeliveryTry:
            if "stalls" in callback.destination:
                await stalled.wait()
            return OK

        for tenant in ("loud", "louder"):
            store_deliveries(stores, f"http://{tenant}.stalls/", 100, tenant=tenant)
        async with dispatching_to(Deliverer(answer), MemoryDeliveryStore(database)) as made:
            await until(lambda: made.held.number >= 20)
            for _ in range(3):  # due after all of the flood
                store_deliveries(stores, "http://good/", 20, tenant="quiet")
            await until(lambda: states(database, "good") == {"delivered": 60})
            assert made.held.number < 40
            stalled.set()

    asyncio.run(scenario())


def test_a_handoff_is_accepted_under_the_id_it_was_stored_under_and_only_while_there_is_room(
    database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "HANDED_OFF", Load(100, 10_000))

    async def scenario() -> None:
        answering = asyncio.Event()

        async def answer(callback: OutgoingCallback) -> DeliveryTry:
            await answering.wait()
            return OK

        async with dispatching_to(Deliverer(answer), MemoryDeliveryStore(database)) as made:
            await until(lambda: made.lease_valid)
            me = made.notifier_id
            assert me is not None
            made.hand_off(b"another id", [delivery("http://a/")])
            made.hand_off(me, [delivery("http://a/")])
            await until(lambda: made.held.number == 1)
            made.hand_off(me, [delivery("http://a/", size=10_000)])
            ids = [made.notifier_id]  # full in bytes, also before the event loop has looked
            await until(lambda: made.held.number == 2)
            assert [*ids, made.notifier_id] == [None, None]
            answering.set()
            await until(lambda: made.held.number == 0)
            assert made.notifier_id == me

    asyncio.run(scenario())
