"""Ten thousand deliveries over real HTTP, to a backend that fails 30 % of them, stalls, answers 429 and is restarted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from connectors.callbacks.breaker import Breaker
from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.profile_file import parse_profiles
from connectors.callbacks.shaped import ShapedDeliverer
from connectors.memory import MemoryDatabase
from connectors.memory.delivery_store import MemoryDeliveryStore
from connectors.sink_store import ProgressRow
from streams.notify.dispatcher import DeliveryDispatcher
from streams.sink.rows import delivery_id, progress_end
from tests.harness.callback_server import LOCAL
from tests.harness.dispatching import states, unless, until
from tests.harness.stores import Stores, ended, new_job, requested
from tests.harness.unreliable_backend import UnreliableBackend

PLAIN, WITH_PROGRESS, STEPS = 9_400, 100, 5
SHAPES = parse_profiles("""
    [profiles.shape.progress]
    body = { job = "$.data.job_id", percent = "$.data.percent" }
    timeout_s = 0.3
    [profiles.shape.success]
    body = { job = "$.data.job_id", end = true }
    timeout_s = 0.3
""")
NOTIFY = "streams.notify.dispatcher"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time run faster: retries follow soon, and a lost notifier is noticed soon."""
    monkeypatch.setattr("connectors.callbacks.schedule.DELAYS_S", (0.02,) * 40)
    monkeypatch.setattr("streams.notify.destination.Breaker", partial(Breaker, open_s=0.1, max_open_s=0.2))
    for name, seconds in (("LEASE_S", 1.0), ("RENEW_S", 0.25), ("HOLD_S", 3.0), ("SHORTEST_WAIT_S", 0.1)):
        monkeypatch.setattr(f"{NOTIFY}.{name}", seconds)
    monkeypatch.setattr("connectors.memory.delivery_store.HOLD_S", 3.0)


@asynccontextmanager
async def notifying(store: MemoryDeliveryStore, connections: int = 48) -> AsyncIterator[None]:
    stop = asyncio.Event()
    http = ShapedDeliverer(Deliverer(LOCAL, per_destination=connections), SHAPES, lambda: pytest.fail("no file"))
    async with http as deliverer:
        made = DeliveryDispatcher(deliverer, store, per_destination=connections, poll_s=0.05, seed=0)
        running = asyncio.create_task(made.run(stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(running, 20)


def header(url: str, tenant: str = "one") -> dict[str, Any]:
    return {"callback_url": url, "callback_profile": "shape", "tenant": tenant}


def store_ended(stores: Stores, url: str, count: int, tenant: str = "one") -> None:
    jobs, head = [new_job() for _ in range(count)], header(url, tenant)
    stores.store(*(ended(job, n, header=head) for n, job in enumerate(jobs)))


class RunningJobs:
    """Jobs that report progress and end, in the way in which the sink stores it."""

    def __init__(self, stores: Stores, url: str, count: int) -> None:
        self._stores = stores
        self._head = header(url)
        self.jobs = [new_job() for _ in range(count)]
        for job in self.jobs:
            stores.store(requested(job, 0, header=self._head), progress_rule=lambda *_: True)

    async def run(self) -> None:
        rng = random.Random(1)
        for step in range(1, STEPS + 1):
            for job in rng.sample(self.jobs, len(self.jobs)):
                self._report(job, step)
                await asyncio.sleep(0.001)
        for job in self.jobs:
            self._end(job)
            self._report(job, STEPS + 1)  # late
            await asyncio.sleep(0.001)

    def _report(self, job: UUID, step: int) -> None:
        id_ = delivery_id(job.bytes, 0, "progress")
        self._stores.sink.mark_progress([ProgressRow(job.bytes, 0, 1, 1, step, "w", "s", float(step), "", id_)])

    def _end(self, job: UUID) -> None:
        stored = self._stores.store(ended(job, 1, header=self._head), progress_rule=lambda *_: True)
        self._stores.sink.end_progress([progress_end(*run, None) for run in stored.ended_after_progress])


def test_all_arrive_and_none_after_its_terminal_one_whatever_the_backend_and_a_notifier_do(
    stores: Stores, database: MemoryDatabase
) -> None:
    async def scenario() -> None:
        cut_off = [False]
        lost = MemoryDeliveryStore(database)
        for name in ("renew", "claim", "held", "record", "record_progress", "retire", "note_destinations"):
            setattr(lost, name, unless(cut_off, getattr(lost, name)))
        async with UnreliableBackend() as backend:
            store_ended(stores, backend.url, PLAIN)
            running = RunningJobs(stores, backend.url, WITH_PROGRESS)
            async with notifying(MemoryDeliveryStore(database)), notifying(lost):
                reporting = asyncio.create_task(running.run())
                await until(lambda: len(backend.accepted) > 2_000)
                await backend.restart(0.2)
                await until(lambda: len(backend.accepted) > 4_000)
                cut_off[0] = True
                await reporting
                await until(lambda: len(backend.accepted) == PLAIN + WITH_PROGRESS)
                while states(database)["pending"]:  # noqa: ASYNC110 - a store has nothing to await
                    await asyncio.sleep(0.05)
                cut_off[0] = False  # its late records change nothing
        jobs = {str(job) for job in running.jobs}
        with_end = {job for job, bodies in backend.accepted.items() if any("end" in body for body in bodies)}
        assert backend.wrong == []
        assert (len(with_end), with_end >= jobs) == (PLAIN + WITH_PROGRESS, True)
        assert states(database)["delivered"] >= PLAIN + WITH_PROGRESS
        progress = [body for job in jobs for body in backend.accepted[job] if "percent" in body]
        assert WITH_PROGRESS / 2 < len(progress) < WITH_PROGRESS * STEPS  # stale progress was superseded
        assert {status for status, _ in backend.statuses.items()} == {200, 409, 429, 503, 0}

    asyncio.run(scenario())


def test_a_destination_that_never_answers_delays_no_delivery_to_another(
    stores: Stores, database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken one answers nothing until all deliveries to the other one have arrived."""
    monkeypatch.setattr("tests.harness.unreliable_backend.REFUSALS", ((0, 1.0),))

    async def scenario() -> None:
        async with UnreliableBackend() as broken, UnreliableBackend(reliable=True) as sound:
            shapes = parse_profiles(
                "[profiles.shape.success]\nbody = { job = '$.data.job_id', end = true }\ntimeout_s = 60"
            )
            monkeypatch.setattr(f"{__name__}.SHAPES", shapes)
            for tenant in ("one", "two"):
                store_ended(stores, broken.url, 500, tenant)
            async with notifying(MemoryDeliveryStore(database), connections=8):
                await until(lambda: broken.arrived == 8)
                for tenant in ("one", "two"):
                    store_ended(stores, sound.url, 500, tenant)
                await until(lambda: len(sound.accepted) == 1000)
                assert (broken.arrived, broken.statuses[200]) == (8, 0)
                await broken.__aexit__()

    asyncio.run(scenario())
