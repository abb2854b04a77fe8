"""The cost of a record: its own streams alone, and never a long stop of the event loop."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from gateway import event_hub
from gateway.event_records import Record
from gateway.event_subscription import Subscription
from schemas.ids import new_id
from tests.harness.event_writer import EventWriter
from tests.harness.gateway_app import memory_settings, serving


def test_an_event_of_a_job_touches_only_the_streams_of_that_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = memory_settings(tmp_path)
    job = new_id()
    touched: list[str | None] = []
    offer = Subscription.offer

    def noted(self: Subscription, record: Record) -> None:
        touched.append(self.job_id)
        offer(self, record)

    monkeypatch.setattr(Subscription, "offer", noted)

    async def use() -> None:
        async with serving(settings) as (_, ports):
            await ports.events.open()
            for _ in range(500):
                ports.events.follow(new_id())
            first, _ = ports.events.follow(job)
            second, _ = ports.events.follow(job)
            EventWriter(settings).progress(job, 1)
            await first.wait(10)
            await second.wait(10)
            assert touched == [job, job]

    asyncio.run(use())


def test_the_event_loop_serves_others_between_the_parts_of_a_large_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "PART", 10)
    settings = memory_settings(tmp_path)
    writer = EventWriter(settings)
    job = new_id()
    for n in range(105):
        writer.progress(job, n + 1)

    async def use() -> None:
        async with serving(settings) as (_, ports):
            kept = [0]
            opening = asyncio.create_task(ports.events.open())
            while not opening.done():
                kept.append(len(ports.events.follow(job)[1]))
                await asyncio.sleep(0)
            await opening
            found = ports.events.follow(job)[1]
            kept.append(len(found))
            assert max(after - before for before, after in pairwise(kept)) <= 10
            assert [record.offset for record in found] == list(range(105))
            assert sum(ports.events.positions.values()) == 105

    asyncio.run(use())
