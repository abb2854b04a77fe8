"""A due run that can't be published, encoded or read costs only itself: it is ended by name, and the others run once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from connectors.payload_store import Payload
from schemas import headers
from schemas.avsc import request_schema
from schemas.errors import Unreachable
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import ECHO, EchoInput, JobHeader, Request
from streams import wiring
from streams.log import kafka
from streams.testing import Flow
from streams.timekeeper import requests, silent
from streams.timekeeper.record_writer import RecordWriter

REQUESTS = "requests.echo"


@pytest.fixture
def flow() -> Iterator[Flow]:
    with Flow("echo") as made:
        yield made


def foreign(flow: Flow, **more: Any) -> str:
    """Write a request as another language's client does: without the checks of ours."""
    header = JobHeader(new_id(), "echo", flow.now, "a" * 64, **more)
    value = (
        wiring.codec(flow.settings)
        .encoder(f"{REQUESTS}-value", request_schema(ECHO))
        .encode(to_plain(Request(header, EchoInput("large"))))
    )
    producer = kafka.producer(flow.settings)
    producer.produce(REQUESTS, value, header.job_id, headers=headers.request_headers(header, source="foreign"))
    producer.flush()
    return header.job_id


def limit(flow: Flow, topic: str, size: int) -> None:
    flow.log.topic(topic).config["max.message.bytes"] = str(size)


def largest(flow: Flow, topic: str) -> int:
    """Return the size of a topic's largest record, as the broker counts it."""
    size = 0
    for message in flow.records(topic):
        given: Any = message.headers()
        value, key = message.value() or b"", message.key() or b""
        size = max(size, len(value) + len(key) + sum(len(name) + len(text) for name, text in given))
    return size


def requests_of(flow: Flow, job_id: str) -> int:
    return sum(message.key() == job_id.encode() for message in flow.records(REQUESTS))


def test_a_request_that_grows_too_large_when_released_is_ended_and_the_others_run_once(flow: Flow) -> None:
    soon = flow.now + timedelta(minutes=1)
    poison = foreign(flow, not_before=soon, labels={"pad": "x" * 5000})
    innocent = [flow.submit("echo", EchoInput(f"{n}"), not_before=soon) for n in range(3)]
    limit(flow, REQUESTS, largest(flow, REQUESTS) + 100)
    flow.settle()
    for _ in range(3):
        flow.advance(61)
        flow.settle(worker=False)  # as behind a backlog
    flow.settle()
    view = flow.job(poison)
    assert view.state == "FAILED"
    assert view.error is not None
    assert view.error.code == "PAYLOAD_TOO_LARGE"
    assert {line.kind for line in view.history} == {"request", "result", "dead_letter"}
    [letter] = flow.dead_letters()
    assert letter["sluice-dl-reason"] == "PAYLOAD_TOO_LARGE"
    assert [outcome.header.job_id for outcome in flow.outcomes("echo")].count(poison) == 1
    for job in innocent:
        assert flow.job(job).state == "COMPLETED"
        assert requests_of(flow, job) == 2  # the request and its release


def test_an_end_whose_header_is_too_large_is_published_without_its_labels(flow: Flow) -> None:
    late = flow.now + timedelta(minutes=1)
    large = foreign(flow, deadline=late, tenant="north", external_id="e", labels={"pad": "x" * 5000})
    small = flow.submit("echo", EchoInput("x"), deadline=late)
    limit(flow, "results.echo", 2000)
    flow.settle(worker=False)
    flow.advance(61)
    flow.settle(worker=False)
    assert [flow.job(job).state for job in (large, small)] == ["EXPIRED", "EXPIRED"]
    [outcome] = [one for one in flow.outcomes("echo") if one.header.job_id == large]
    assert (outcome.header.tenant, outcome.header.external_id, outcome.header.labels) == ("north", "e", {})


def test_a_run_that_raises_something_unforeseen_is_set_aside_and_the_others_go_on(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = flow.now + timedelta(minutes=1)
    odd, other = (flow.submit("echo", EchoInput(text), not_before=soon) for text in ("odd", "other"))
    republish = RecordWriter.republish

    def broken(self: RecordWriter, name: Any, due: Any, *rest: Any) -> None:
        if due.job_id == odd:
            raise OverflowError("a value from outside")
        republish(self, name, due, *rest)

    monkeypatch.setattr(RecordWriter, "republish", broken)
    flow.settle()
    flow.advance(61)
    flow.settle()
    assert [flow.job(job).state for job in (odd, other)] == ["PENDING", "COMPLETED"]
    monkeypatch.setattr(RecordWriter, "republish", republish)
    flow.advance(61)
    flow.settle()
    assert flow.job(odd).state == "COMPLETED"


def test_an_end_whose_header_can_not_be_encoded_is_published_with_a_smaller_one(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = flow.now + timedelta(minutes=1)
    odd, other = (flow.submit("echo", EchoInput(text), deadline=late) for text in ("odd", "other"))
    end_run = RecordWriter.end_run

    def broken(self: RecordWriter, name: Any, due: Any, header: Any, *rest: Any) -> None:
        if due.job_id == odd and header["input_sha256"]:
            raise OverflowError("a value from outside")
        end_run(self, name, due, header, *rest)

    monkeypatch.setattr(RecordWriter, "end_run", broken)
    flow.settle(worker=False)
    flow.advance(61)
    flow.settle(worker=False)
    assert [flow.job(job).state for job in (odd, other)] == ["EXPIRED", "EXPIRED"]


def test_requests_of_any_size_are_read_a_bounded_number_of_bytes_at_a_time(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MAX_BYTES", 100)
    soon = flow.now + timedelta(minutes=1)
    jobs = [flow.submit("echo", EchoInput("x" * 100), not_before=soon) for _ in range(5)]
    flow.settle()
    flow.advance(61)
    flow.settle()
    assert {flow.job(job).state for job in jobs} == {"COMPLETED"}
    assert {requests_of(flow, job) for job in jobs} == {2}


def test_an_accepted_request_that_kafka_refuses_is_ended_by_name(flow: Flow) -> None:
    header = JobHeader(new_id(), "echo", flow.now, "a" * 64)
    value = (
        wiring.codec(flow.settings)
        .encoder(f"{REQUESTS}-value", request_schema(ECHO))
        .encode(to_plain(Request(header, EchoInput("x" * 5000))))
    )
    with wiring.payload_store(flow.settings) as store:
        store.accept(Payload(header.job_id, 0, "echo", "live", header.job_id.encode(), value, []))
    limit(flow, REQUESTS, 2000)
    flow.advance(61)
    flow.settle()
    view = flow.job(header.job_id)
    assert (view.state, view.error and view.error.code) == ("FAILED", "PAYLOAD_TOO_LARGE")


def test_a_registry_that_is_away_for_one_processor_stops_only_its_runs_and_publishes_none_twice(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = flow.now + timedelta(minutes=1)
    jobs = [
        flow.submit("echo", EchoInput(text), not_before=soon + timedelta(seconds=n)) for n, text in enumerate("abc")
    ]
    flow.settle()
    republish = RecordWriter.republish

    def away(self: RecordWriter, name: Any, due: Any, *rest: Any) -> None:
        if due.job_id == jobs[1]:
            raise Unreachable("The registry did not answer.")
        republish(self, name, due, *rest)

    monkeypatch.setattr(RecordWriter, "republish", away)
    flow.advance(70)
    for _ in range(3):
        with pytest.raises(Unreachable):
            flow.settle()
    monkeypatch.setattr(RecordWriter, "republish", republish)
    flow.settle()
    assert {flow.job(job).state for job in jobs} == {"COMPLETED"}
    assert {requests_of(flow, job) for job in jobs} == {2}


def test_a_start_that_the_log_will_not_keep_the_request_for_is_not_waited_for(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A foreign producer may write any time; `submit` refuses one that is further ahead than the log keeps requests."""
    monkeypatch.setattr(silent, "EVERY_S", 0.0)
    far = foreign(flow, not_before=flow.now + timedelta(days=3000))
    near = foreign(flow, not_before=flow.now + timedelta(days=13, minutes=30))
    flow.settle(worker=False)
    flow.advance(timedelta(days=13, minutes=5).total_seconds())
    flow.settle(worker=False)
    assert (flow.job(far).state, flow.job(near).state) == ("EXPIRED", "PENDING")
