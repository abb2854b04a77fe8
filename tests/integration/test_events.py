"""Events over HTTP on the real stack: a worker's text and progress reach a client that loses its connection and its gateway."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from streams.admin import topics
from streams.settings import Settings
from tests.harness.event_reader import EventReader, Seen
from tests.harness.processors.narrator import NARRATOR, installed
from tests.harness.services import Service, running
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack


@pytest.fixture
def address(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site"))
    monkeypatch.setenv("SLUICE_GATEWAY_ADDRESS", address)
    monkeypatch.setenv("SLUICE_GATEWAY_AUTH", "open")
    topics.apply(settings, [NARRATOR])
    with running(settings, ["worker", "narrator"], ["sink"]):
        yield address


def serving(settings: Settings, address: str) -> Service:
    """Start a gateway and wait until it answers."""
    service = Service(settings, ["gateway"])

    def ready() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"http://{address}/readyz").status_code == 200
        return False

    wait_until(ready, lambda: service.log.read_text()[-2000:])
    return service


def submit(address: str, message: str, **more: object) -> str:
    body = {"processor": "narrator", "input": {"message": message, **more}}
    answer = httpx.post(f"http://{address}/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def text_of(events: list[Seen]) -> str:
    """Put the text together as a client does: the piece with sequence 1 replaces what came before it."""
    text = ""
    for event in events:
        if event.name == "text":
            text = event.data["text"] if event.data["sequence"] == 1 else text + event.data["text"]
    return text


def read_until(reader: EventReader, text: str) -> list[Seen]:
    seen: list[Seen] = []
    for event in reader.events():
        seen.append(event)
        if text in text_of(seen):
            return seen
    raise AssertionError(f"the stream ended before {text!r}: {seen}")


def test_a_stream_goes_on_after_its_connection_and_its_gateway_are_gone_with_exactly_the_rest(
    settings: Settings, address: str, tmp_path: Path
) -> None:
    gates = [tmp_path / "first", tmp_path / "second"]
    service = serving(settings, address)
    job = submit(address, f"one two gate:{gates[0]} three gate:{gates[1]} four")
    path = f"/v1/jobs/{job}/events"
    with EventReader(address, path) as reader:
        events = read_until(reader, "two ")
        service.kill()
    gates[0].touch()
    service = serving(settings, address)
    with EventReader(address, path, after=reader.last_id) as reader:
        events += read_until(reader, "three ") if "three" not in text_of(events) else []
    gates[1].touch()
    with EventReader(address, path, after=reader.last_id) as reader:
        events += reader.events()
    assert text_of(events) == "one two three four "
    assert [event.data["sequence"] for event in events if event.name == "text"] == list(
        range(1, 1 + sum(event.name == "text" for event in events))
    )
    assert len({event.id for event in events}) == len(events)
    states = [event.data["state"] for event in events if event.name == "state"]
    assert states[-1] == "PROCESSING"
    assert (events[-1].name, events[-1].data["status"]) == ("outcome", "COMPLETED")
    assert events[-1].data["output"]["message"] == "one two three four"
    assert [event.name for event in events].count("outcome") == 1
    assert httpx.get(f"http://{address}/v1/jobs/{job}/result").json() == events[-1].data
    assert service.stop() == 0


def test_another_attempt_is_visible_and_begins_the_text_again(settings: Settings, address: str, tmp_path: Path) -> None:
    gates = {attempt: tmp_path / f"attempt-{attempt}" for attempt in (1, 2)}
    service = serving(settings, address)
    job = submit(address, f"one gate:{gates[1]} two gate:{gates[2]} three", fail="retry")
    events = []
    with running(settings, ["timekeeper"]), EventReader(address, f"/v1/jobs/{job}/events") as reader:
        for event in reader.events():
            events.append(event)
            if event.name == "state" and event.data["state"] == "PROCESSING":
                gates[event.data["attempt"]].touch()
    states = [(event.data["state"], event.data["attempt"]) for event in events if event.name == "state"]
    assert states[-3:] == [("PROCESSING", 1), ("RETRYING", 1), ("PROCESSING", 2)]
    assert text_of(events) == "one two three "
    assert service.stop() == 0


def test_a_job_whose_process_dies_begins_its_text_again_and_the_client_sees_it(
    settings: Settings, address: str
) -> None:
    service = serving(settings, address)
    job = submit(address, "one two three", fail="kill", delay_ms=300)
    with EventReader(address, f"/v1/jobs/{job}/events") as reader:
        events = list(reader.events())
    texts = [event.data for event in events if event.name == "text"]
    assert {(text["execution"], text["sequence"]) for text in texts} >= {(1, 1), (2, 1)}
    assert text_of(events) == "one two three "
    assert events[-1].data["output"]["message"] == "one two three"
    # The job has ended long ago for a client that comes now: it gets the outcome and the end.
    begun = time.monotonic()
    with EventReader(address, f"/v1/jobs/{job}/events") as reader:
        assert [event.name for event in reader.events()][-1] == "outcome"
    assert time.monotonic() - begun < 10
    assert service.stop() == 0
