"""Runs that nothing can run any more are ended by name, and no other run is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
from confluent_kafka import TopicPartition

from schemas.records import EchoInput
from streams import wiring
from streams.log import kafka
from streams.testing import Flow
from streams.timekeeper import requests_gone, silent

REQUESTS = "requests.echo"
GROUP = "workers.echo"


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flow]:
    monkeypatch.setattr(requests_gone, "EVERY_S", 0.0)
    monkeypatch.setattr(silent, "EVERY_S", 0.0)
    with Flow("echo", partitions=1) as made:
        made.log.groups.clear()  # no worker runs
        yield made


def delete_before(flow: Flow, offset: int) -> None:
    place = TopicPartition(REQUESTS, 0, offset)
    kafka.admin(flow.settings).delete_records([place])[place].result()


def states(flow: Flow, *jobs: str) -> list[str]:
    return [flow.job(job).state for job in jobs]


def wait_a_minute(flow: Flow) -> None:
    flow.advance(61)
    flow.settle(worker=False)


def test_runs_whose_requests_left_the_log_are_ended_and_those_behind_them_wait(flow: Flow) -> None:
    lost = [flow.submit("echo", EchoInput("x"), callback_url="http://localhost:9/done") for _ in range(3)]
    kept = flow.submit("echo", EchoInput("y"))
    flow.settle(worker=False)
    delete_before(flow, 3)
    flow.settle(worker=False)
    assert states(flow, *lost) == ["PENDING"] * 3, "a run that changed a moment ago may have another request"
    wait_a_minute(flow)
    assert states(flow, *lost, kept) == ["FAILED"] * 3 + ["PENDING"]
    view = flow.job(lost[0])
    assert view.error is not None
    assert (view.error.code, "left the log" in view.error.message) == ("NOT_FOUND", True)
    assert [line.kind for line in view.history] == ["request", "result"]
    assert len(flow.outcomes("echo")) == 3
    assert len(flow.callbacks) == 3


def test_a_run_that_a_worker_may_hold_is_not_ended_before_the_group_has_passed_it(flow: Flow) -> None:
    job = flow.submit("echo", EchoInput("x"))
    flow.submit("echo", EchoInput("y"))
    flow.settle(worker=False)
    with closing(kafka.consumer(flow.settings, GROUP)) as worker:
        worker.subscribe([REQUESTS])
        worker.poll(0)
        delete_before(flow, 1)
        wait_a_minute(flow)
        assert states(flow, job) == ["PENDING"]
        worker.commit(offsets=[TopicPartition(REQUESTS, 0, 1)], asynchronous=False)
        flow.settle(worker=False)
        assert states(flow, job) == ["FAILED"]


def test_a_run_whose_request_was_published_again_is_not_lost_with_the_first_one(flow: Flow) -> None:
    job = flow.submit("echo", EchoInput("x"), not_before=flow.now + timedelta(minutes=1))
    flow.settle(worker=False)
    wait_a_minute(flow)  # released: the same request once more
    delete_before(flow, 1)
    wait_a_minute(flow)
    assert states(flow, job) == ["PENDING"]
    delete_before(flow, 2)
    wait_a_minute(flow)
    assert states(flow, job) == ["FAILED"]


def test_runs_of_a_topic_that_was_made_again_are_ended_after_a_minute(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = flow.submit("echo", EchoInput("x"))
    flow.settle(worker=False)
    flow.log.delete_topic(REQUESTS)
    flow.log.create_topic(REQUESTS, 1)
    flow.advance(61)
    duty = next(each for each in flow._services._duties if isinstance(each, requests_gone.RequestsGone))
    duty.run_once()
    assert flow.records("results.echo") == [], "a broker that has just started lists few topics"
    monkeypatch.setattr(requests_gone, "MISSING_S", 0.0)
    duty.run_once()
    [end] = flow.records("results.echo")
    result = wiring.codec(flow.settings).decode(end.value() or b"")
    assert result["header"]["job_id"] == job
    assert "made again" in result["result"]["error"]["message"]


def test_a_job_without_a_deadline_gets_the_default_and_one_with_its_own_keeps_it(flow: Flow) -> None:
    silent_job = flow.submit("echo", EchoInput("x"))
    patient = flow.submit("echo", EchoInput("y"), deadline=flow.now + timedelta(days=20))
    flow.settle(worker=False)
    flow.advance(12.9 * 86400)
    flow.settle(worker=False)
    assert states(flow, silent_job, patient) == ["PENDING", "PENDING"]
    flow.advance(0.2 * 86400)
    flow.settle(worker=False)
    assert states(flow, silent_job, patient) == ["EXPIRED", "PENDING"]
    error = flow.job(silent_job).error
    assert error is not None
    assert "SLUICE_DEADLINE_DAYS" in error.message
