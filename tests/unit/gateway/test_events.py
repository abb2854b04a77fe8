"""Streams of events: complete, in order, continued without loss or repetition, and each tenant its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.access_store import new_token, token_hash
from gateway import access, event_hub, event_stream, event_subscription
from streams import wiring
from streams.settings import Settings
from tests.harness.event_reader import EventReader, Seen, gateway
from tests.harness.event_writer import EventWriter
from tests.harness.gateway_app import memory_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return memory_settings(tmp_path, gateway_address="127.0.0.1:0")


@pytest.fixture
def address(settings: Settings) -> Iterator[str]:
    with gateway(settings) as address:
        yield address


@pytest.fixture
def writer(settings: Settings) -> EventWriter:
    return EventWriter(settings)


def submitted(address: str, token: str = "none", **options: object) -> str:
    body = {"processor": "echo", "input": {"message": "hello"}, **options}
    answer = httpx.post(f"http://{address}/v1/jobs", json=body, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def seen(events: list[Seen]) -> list[tuple[str, object]]:
    """Return each event's name with what tells it apart from others."""
    telling = {"state": "state", "progress": "stage", "text": "text", "outcome": "status"}
    return [(event.name, event.data[telling[event.name]]) for event in events]


def narrate(writer: EventWriter, job: str, **header: Any) -> None:
    """Write what a worker says of a job until its outcome."""
    writer.progress(job, 1, "started")
    writer.text(job, 1, "The scan ")
    writer.progress(job, 2, "reading", percent=50.0)
    writer.text(job, 2, "shows nothing.")
    writer.outcome(job, **header)


WHOLE = [
    ("state", "PENDING"),
    ("state", "PROCESSING"),
    ("progress", "started"),
    ("text", "The scan "),
    ("progress", "reading"),
    ("text", "shows nothing."),
    ("outcome", "COMPLETED"),
]


def test_a_jobs_stream_shows_its_state_progress_text_and_outcome_and_ends(address: str, writer: EventWriter) -> None:
    job = submitted(address)
    with EventReader(address, f"/v1/jobs/{job}/events") as reader:
        assert reader.response.headers["content-type"].startswith("text/event-stream")
        first = reader.next()
        narrate(writer, job)
        events = [*first, *reader.events()]
    assert seen(events) == WHOLE
    assert events[0].data["links"]["events"] == f"/v1/jobs/{job}/events"
    assert events[-1].data["output"] == {"message": "hello", "length": 5}
    assert [event.data["sequence"] for event in events if event.name == "text"] == [1, 2]


def test_a_stream_that_is_broken_anywhere_continues_with_exactly_the_rest(address: str, writer: EventWriter) -> None:
    job = submitted(address)
    path = f"/v1/jobs/{job}/events"
    with EventReader(address, path) as reader:
        events = reader.next()
        narrate(writer, job)
        events += reader.events()
    for place, event in enumerate(events[:-1], 1):
        with EventReader(address, path, after=event.id) as again:
            assert list(again.events()) == events[place:], f"after {event.id}"
    assert httpx.get(f"http://{address}{path}", headers={"Last-Event-ID": events[-1].id}).status_code == 204
    assert httpx.get(f"http://{address}{path}", params={"after": events[-1].id}).status_code == 204


def test_another_gateway_continues_a_stream(settings: Settings, writer: EventWriter) -> None:
    with gateway(settings) as address:
        job = submitted(address)
        with EventReader(address, f"/v1/jobs/{job}/events") as reader:
            first = reader.next()
            writer.progress(job, 1, "started")
            writer.text(job, 1, "The scan ")
            first += reader.next(3)
    writer.progress(job, 2, "reading", percent=50.0)
    with (
        gateway(settings) as address,
        EventReader(address, f"/v1/jobs/{job}/events", after=reader.last_id) as again,
    ):
        writer.text(job, 2, "shows nothing.")
        writer.outcome(job)
        assert seen([*first, *again.events()]) == WHOLE


def test_a_stream_continues_from_the_log_when_its_place_has_left_memory(
    address: str, writer: EventWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, other = submitted(address), submitted(address)
    with EventReader(address, f"/v1/jobs/{job}/events") as reader:
        first = reader.next()
        writer.text(job, 1, "one")
        first += reader.next()
        monkeypatch.setattr(event_hub, "MOST_RECORDS", 1)
        for n in range(2, 6):
            writer.text(job, n, f"piece {n}")
            writer.text(other, n, "other")
        whole = [*first, *reader.next(4)]
    with EventReader(address, f"/v1/jobs/{job}/events", after=first[0].id) as again:
        assert again.next(5) == whole[1:]
    with EventReader(address, f"/v1/jobs/{job}/events", after=whole[2].id) as again:
        assert again.next(3) == whole[3:]


def test_a_stream_that_begins_late_shows_the_text_that_still_counts_and_the_last_progress(
    address: str, writer: EventWriter
) -> None:
    job = submitted(address)
    writer.progress(job, 1, "started")
    writer.text(job, 1, "broken off")
    writer.progress(job, 2, "old")
    writer.text(job, 1, "The scan ", execution=2)
    writer.progress(job, 3, "reading", execution=2)
    writer.text(job, 2, "shows", execution=2)
    with EventReader(address, f"/v1/jobs/{job}/events") as reader:
        assert seen(reader.next(4)) == [
            ("state", "PENDING"),
            ("text", "The scan "),
            ("progress", "reading"),
            ("text", "shows"),
        ]


def test_a_new_attempt_is_visible_and_its_text_begins_with_one(address: str, writer: EventWriter) -> None:
    job = submitted(address)
    with EventReader(address, f"/v1/jobs/{job}/events") as reader:
        reader.next()
        writer.progress(job, 1, "started")
        writer.text(job, 1, "broken off")
        writer.progress(job, 2**31 - 2, "retrying", message="attempt 2 in 1.0 s")
        writer.progress(job, 1, "started", attempt=2)
        writer.text(job, 1, "whole", attempt=2)
        events = reader.next(8)
    assert [(event.name, event.data.get("state"), event.data["attempt"]) for event in events] == [
        ("state", "PROCESSING", 1),
        ("progress", None, 1),
        ("text", None, 1),
        ("state", "RETRYING", 1),
        ("progress", None, 1),
        ("state", "PROCESSING", 2),
        ("progress", None, 2),
        ("text", None, 2),
    ]
    assert [event.data["sequence"] for event in events if event.name == "text"] == [1, 1]


def test_one_stream_shows_all_jobs_by_filter_and_continues_with_exactly_the_rest(
    address: str, writer: EventWriter
) -> None:
    cases = {submitted(address, case_id=case): case for case in ("a", "b", "c")} | {
        submitted(address, case_id="a"): "a"
    }
    with EventReader(address, "/v1/events?case_id=a") as reader:
        begin = reader.until_alive()
        for job, case in cases.items():
            narrate(writer, job, case_id=case)
        events = reader.next(12)
    shown = [job for job, case in cases.items() if case == "a"]
    for job in shown:
        assert sorted(seen(of_job(events, job))) == sorted(WHOLE[1:])
        assert [name for name, _ in seen(of_job(events, job))][-1] == "outcome"
    for place, after in enumerate([begin, *(event.id for event in events[:-1])]):
        with EventReader(address, "/v1/events?case_id=a", after=after) as again:
            rest = again.next(12 - place)
        for job in shown:
            assert without_ids(of_job(rest, job)) == without_ids(of_job(events[place:], job))


def of_job(events: list[Seen], job: str) -> list[Seen]:
    return [event for event in events if event.data["job_id"] == job]


def without_ids(events: list[Seen]) -> list[tuple[str, object]]:
    return [(event.name, event.data) for event in events]


def test_a_reader_that_is_too_slow_loses_its_stream_but_no_event(
    address: str, writer: EventWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_subscription, "MOST_WAITING_BYTES", 1_000_000)
    job = submitted(address)
    numbers = list(range(1, 25))
    read: list[object] = []
    with EventReader(address, f"/v1/jobs/{job}/events") as reader:
        reader.next()
        for n in numbers:
            writer.text(job, n, "x" * 500_000)
        read += [event.data["sequence"] for event in reader.events()]
    assert read == numbers[: len(read)] != numbers
    with EventReader(address, f"/v1/jobs/{job}/events", after=reader.last_id) as reader:
        writer.outcome(job)
        read += [event.data["sequence"] for event in reader.events() if event.name == "text"]
    assert read == numbers


def test_a_stopping_gateway_ends_its_streams_at_once(settings: Settings) -> None:
    with gateway(settings) as address:
        job = submitted(address)
        reader = EventReader(address, f"/v1/jobs/{job}/events")
        reader.__enter__()
        reader.next()
        rest: list[Seen] = []
        reading = threading.Thread(target=lambda: rest.extend(reader.events()))
        reading.start()
    reading.join(5)
    assert (reading.is_alive(), rest) == (False, [])
    reader.__exit__(None, None, None)


def test_a_quiet_stream_shows_that_it_is_alive_and_moves_its_place(
    address: str, writer: EventWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 0.05)
    job = submitted(address)
    with EventReader(address, f"/v1/jobs/{job}/events") as reader:
        first = reader.next()[0].id
        writer.text(job, 1, "of a later run", run=1)
        while reader.last_id == first:
            reader.read_line()
    with EventReader(address, f"/v1/jobs/{job}/events", after=reader.last_id) as again:
        writer.outcome(job)
        assert seen(list(again.events())) == [("outcome", "COMPLETED")]


def test_a_tenant_sees_only_its_own_jobs(settings: Settings, writer: EventWriter) -> None:
    tokens = {tenant: new_token() for tenant in ("north", "south")}
    with wiring.access_store(settings) as store:
        for tenant, token in tokens.items():
            store.create_token(token_hash(token), tenant, tenant, ("submit", "read"), None)
    with gateway(settings.model_copy(update={"gateway_auth": "token"})) as address:
        jobs = {tenant: submitted(address, token) for tenant, token in tokens.items()}
        for other, token in (("south", tokens["north"]), ("north", tokens["south"])):
            path = f"http://{address}/v1/jobs/{jobs[other]}/events"
            assert httpx.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 404
        with EventReader(address, "/v1/events", token=tokens["south"]) as reader:
            begin = reader.until_alive()
            for tenant, job in jobs.items():
                narrate(writer, job, tenant=tenant)
            events = reader.next(6)
        assert {event.data["job_id"] for event in events} == {jobs["south"]}
        with EventReader(address, "/v1/events", after=begin, token=tokens["south"]) as reader:
            assert {event.data["job_id"] for event in reader.next(6)} == {jobs["south"]}
        assert httpx.get(f"http://{address}/v1/events").status_code == 401


def test_a_stream_ends_before_its_next_event_once_its_token_is_revoked(
    settings: Settings, writer: EventWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "CHECK_S", 0.0)
    monkeypatch.setattr(access, "KEPT_S", 0.0)
    token, guarded = new_token(), settings.model_copy(update={"gateway_auth": "token"})
    with wiring.access_store(settings) as store, gateway(guarded) as address:
        store.create_token(token_hash(token), "reader", "north", ("submit", "read"), None)
        job = submitted(address, token)
        with EventReader(address, f"/v1/jobs/{job}/events", token=token) as reader:
            assert seen(reader.next()) == [("state", "PENDING")]
            store.revoke_token("reader")
            narrate(writer, job, tenant="north")
            assert list(reader.events()) == []


@pytest.mark.parametrize("bad", ["x", "1.2.3", "0.0.0.0.0", "a:b", "progress:1", "0.999999.1.0"])
def test_an_id_that_was_never_given_out_is_refused(address: str, bad: str) -> None:
    job = submitted(address)
    answer = httpx.get(f"http://{address}/v1/jobs/{job}/events", headers={"Last-Event-ID": bad})
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_INPUT")


def test_a_job_that_is_unknown_has_no_stream(address: str) -> None:
    assert httpx.get(f"http://{address}/v1/jobs/{'0' * 8}-0000-7000-8000-{'0' * 12}/events").status_code == 404
