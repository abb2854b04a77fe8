"""A dispatcher whose store fails, is away, or can't hold a row; and loops that die."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from connectors.callbacks.delivery_try import DeliveryTry, OutgoingCallback, TryResult
from connectors.memory import MemoryDatabase
from connectors.memory.delivery_store import MemoryDeliveryStore
from connectors.sink_store import Unstorable
from streams.notify import dispatcher as dispatching
from streams.notify import try_recorder
from streams.notify.dispatcher import DeliveryDispatcher
from tests.harness.dispatching import (
    OK,
    Deliverer,
    Strange,
    accepts,
    delivery,
    dispatching_to,
    states,
    store_deliveries,
    unless,
    until,
)
from tests.harness.stores import Stores


@pytest.mark.parametrize("loop", ["renew", "claim", "record"])
def test_a_loop_that_dies_ends_the_dispatcher_loudly(
    stores: Stores, database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    monkeypatch.setattr(dispatching, "RENEW_S", 0.01)
    monkeypatch.setattr(dispatching, "STOP_S", 0.2)
    store = MemoryDeliveryStore(database)

    async def scenario() -> None:
        made = DeliveryDispatcher(Deliverer(accepts), store, per_destination=2, poll_s=0.001)
        running = asyncio.create_task(made.run(asyncio.Event()))
        await until(lambda: made.lease_valid)

        def dies(*_: Any) -> None:
            raise Strange

        monkeypatch.setattr(store, loop, dies)
        store_deliveries(stores, "http://good/")
        with pytest.raises(Strange):
            await asyncio.wait_for(running, 20)

    asyncio.run(scenario())


def test_a_row_that_the_store_cannot_hold_loses_its_text_and_no_other_row(
    stores: Stores, database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryDeliveryStore(database)
    record = store.record

    def strict(rows: Any) -> None:
        if any(row.error and "poison" in row.error for row in rows):
            raise Unstorable("no")
        record(rows)

    async def answer(callback: OutgoingCallback) -> DeliveryTry:
        error = "poison" if "evil" in callback.destination else "it is gone"
        return DeliveryTry(410, 1.0, error, TryResult.GONE)

    async def scenario() -> None:
        for n in range(10):
            store_deliveries(stores, f"http://{'evil' if n == 4 else n}/")
        async with dispatching_to(Deliverer(answer), store):
            await until(lambda: states(database) == {"gone": 10})

    monkeypatch.setattr(store, "record", strict)
    asyncio.run(scenario())
    errors = Counter(one.try_rows[0].error for one in database.deliveries.values())
    assert errors == {"it is gone": 9, "The error has no storable text.": 1}


def test_a_store_that_is_away_at_start_and_in_between_loses_and_doubles_nothing(
    stores: Stores, database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "RENEW_S", 0.01)
    monkeypatch.setattr(try_recorder, "PAUSE_S", 0.01)
    store, away = MemoryDeliveryStore(database), [True]
    for name in ("renew", "claim", "held", "record", "retire"):
        monkeypatch.setattr(store, name, unless(away, getattr(store, name)))

    async def scenario() -> None:
        async def goes_away(_: OutgoingCallback) -> DeliveryTry:
            away[0] = True
            return OK

        deliverer = Deliverer(goes_away)
        async with dispatching_to(deliverer, store) as made:
            store_deliveries(stores, "http://good/", 5)
            await asyncio.sleep(0.05)
            assert (made.notifier_id, deliverer.tried) == (None, [])
            away[0] = False
            await until(lambda: len(deliverer.tried) > 0)
            await asyncio.sleep(0.05)
            assert states(database) == {"pending": 5}
            deliverer._answer = accepts
            away[0] = False
            await until(lambda: states(database) == {"delivered": 5})
        assert len(deliverer.tried) == 5

    asyncio.run(scenario())


def test_a_store_that_is_away_while_it_stops_does_not_keep_it(
    database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "STOP_S", 0.05)
    store = MemoryDeliveryStore(database)

    async def scenario() -> None:
        async with dispatching_to(Deliverer(accepts), store) as made:
            await until(lambda: made.lease_valid)
            for name in ("claim", "record", "retire"):
                monkeypatch.setattr(store, name, unless([True], getattr(store, name)))
            assert made.notifier_id is not None
            made.hand_off(made.notifier_id, [delivery("http://a/")])
            await until(lambda: made.held.number == 1)

    asyncio.run(scenario())
