"""The client follows the gateway's events: whole, in order, once, also over gateways that come and go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from itertools import count
from pathlib import Path

import pytest

from gateway import event_stream
from sluice_client import AsyncClient, Client, Event, OutcomeEvent, ProgressEvent, Retry, StateEvent, TextEvent
from streams.settings import Settings
from tests.harness.event_reader import gateway
from tests.harness.event_writer import EventWriter
from tests.harness.gateway_app import memory_settings
from tests.harness.waiting import wait_until

QUICK = Retry(first_s=0.01, longest_s=0.05)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return memory_settings(tmp_path, gateway_address="127.0.0.1:0")


@pytest.fixture
def writer(settings: Settings) -> EventWriter:
    return EventWriter(settings)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with gateway(settings) as address, Client(f"http://{address}", retry=QUICK) as client:
        yield client


def submitted(client: Client, case_id: str | None = None) -> str:
    return client.submit("echo", {"message": "hello"}, case_id=case_id).job_id


def narrate(writer: EventWriter, job: str) -> None:
    """Write what a worker says of a job whose first execution breaks off."""
    writer.progress(job, 1, "started")
    writer.text(job, 1, "The sc")
    writer.progress(job, 3, "reading", percent=50.0, execution=2)
    writer.text(job, 1, "The scan ", execution=2)
    writer.text(job, 2, "shows nothing.", execution=2)
    writer.outcome(job)


def test_events_are_typed_and_any_place_can_be_gone_on_from(client: Client, writer: EventWriter) -> None:
    job = submitted(client)
    following = client.events(job)
    events = [next(following)]
    narrate(writer, job)
    events += following
    assert isinstance(events[0], StateEvent)
    assert events[0].job.state == "PENDING"
    assert [event.stage for event in events if isinstance(event, ProgressEvent)] == ["started", "reading"]
    assert [event.text for event in events if isinstance(event, TextEvent)] == ["The sc", "The scan ", "shows nothing."]
    assert isinstance(events[-1], OutcomeEvent)
    assert events[-1].result.output_or_raise() == {"message": "hello", "length": 5}
    for place, event in enumerate(events, 1):
        assert list(client.events(job, after=event.id)) == events[place:]


def test_the_text_of_a_model_says_where_it_begins_again(client: Client, writer: EventWriter) -> None:
    job = submitted(client)
    pieces = client.text(job)
    writing = threading.Timer(0.3, narrate, (writer, job))
    writing.start()
    shown = ""
    for piece in pieces:
        shown = piece.text if piece.restarted else shown + piece.text
    writing.join()
    assert shown == "The scan shows nothing."


def test_a_stream_goes_on_over_gateways_that_come_and_go(
    settings: Settings, writer: EventWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "RETRY_MS", (1, 10))
    with gateway(settings) as address:
        client = Client(f"http://{address}", retry=QUICK)  # lives longer than any gateway
        job = submitted(client)
        following = client.events(job)
        events = [next(following)]
        writer.text(job, 1, "one")
        events.append(next(following))
    for number in range(2, 4):
        writer.text(job, number, f"piece {number}")
        with gateway(settings.model_copy(update={"gateway_address": address})):
            events.append(next(following))
    writer.outcome(job)
    with gateway(settings.model_copy(update={"gateway_address": address})):
        events += following
    client.close()
    assert [event.text for event in events if isinstance(event, TextEvent)] == ["one", "piece 2", "piece 3"]
    assert isinstance(events[-1], OutcomeEvent)
    assert len({event.id for event in events}) == len(events)


def test_the_events_of_a_case_are_one_stream(settings: Settings, writer: EventWriter) -> None:
    seen: list[Event] = []

    async def follow(url: str) -> None:
        async with AsyncClient(url, retry=QUICK) as client, aclosing(client.events(case_id="c-1")) as events:
            async for event in events:
                seen.append(event)
                if sum(isinstance(each, OutcomeEvent) for each in seen) == 2:
                    return

    def report_all(number: int) -> None:
        for job in jobs:
            writer.progress(job, number, "waiting")

    with gateway(settings) as address, Client(f"http://{address}") as client, ThreadPoolExecutor(1) as threads:
        jobs = {submitted(client, case) for case in ("c-1", "c-1")}
        other = submitted(client, "c-2")
        following = threads.submit(asyncio.run, follow(client._context.url))
        numbers = count(1)
        wait_until(
            lambda: seen,
            lambda: "the stream does not begin",
            step=lambda: report_all(next(numbers)),  # from now on: an event of before the stream is not shown
        )
        for job, case in [*((job, "c-1") for job in jobs), (other, "c-2")]:
            writer.outcome(job, case_id=case)
        following.result(30)
    assert {event.job_id for event in seen} == jobs
    assert {event.job_id for event in seen if isinstance(event, OutcomeEvent)} == jobs
