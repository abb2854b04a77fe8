"""The sink and the timekeeper run side by side, with their threads, on the in-memory twins."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.memory import MemoryDatabase
from schemas.records import ECHO, EchoInput
from schemas.registry import MemoryRegistry
from streams import wiring
from streams.admin import lag, topics
from streams.client.commands import CommandClient
from streams.client.submitter import Submitter
from streams.log.memory import MemoryLog
from streams.settings import Settings
from streams.sink import Sink
from streams.timekeeper import Timekeeper
from tests.harness.waiting import in_thread, wait_until


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    name = uuid.uuid4().hex
    address = f"memory:{name}"
    yield Settings(
        kafka_bootstrap_servers=address,
        schema_registry_url=address,
        database_url=SecretStr(address),
        home=tmp_path,
        partitions=2,
    )
    for twin in (MemoryLog, MemoryDatabase, MemoryRegistry):
        twin.forget(name)


def test_topics_are_applied_once_and_then_nothing_differs(settings: Settings) -> None:
    assert topics.apply(settings, [ECHO]) != []
    assert topics.plan(settings, [ECHO]) == []
    assert topics.apply(settings, [ECHO]) == []
    assert {one.records for one in lag.lags(settings, [ECHO]) if "workers" in one.group} == {0}


def test_sink_and_timekeeper_run_on_the_twins_unchanged(settings: Settings) -> None:
    topics.apply(settings, [ECHO])
    with (
        in_thread(Sink(settings, notify=False).run),
        in_thread(Timekeeper(settings).run),
        Submitter(settings) as submitter,
        CommandClient(settings, by="test") as commands,
        wiring.job_store(settings) as store,
    ):
        soon = datetime.now(UTC) + timedelta(seconds=0.2)
        late = submitter.submit("echo", EchoInput("x"), deadline=soon).job_id
        unwanted = submitter.submit("echo", EchoInput("y")).job_id
        commands.cancel(unwanted)

        def states() -> list[str | None]:
            views = [store.job(job) for job in (late, unwanted)]
            return [view.state if view else None for view in views]

        wait_until(lambda: states() == ["EXPIRED", "CANCELLED"], lambda: f"they are {states()}")
