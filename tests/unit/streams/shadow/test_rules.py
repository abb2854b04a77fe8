"""A shadow run goes the way of any job, has an outcome of its own, and reaches no backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemas.records import ECHO
from streams.client.outcomes import OutcomeWaiter
from streams.testing import Flow
from tests.harness.shadow_runs import publish_shadow_run, publish_undecodable_shadow_run

BACKEND = "http://backend.example/done"


@pytest.fixture
def flow() -> Iterator[Flow]:
    with Flow("echo") as flow:
        yield flow


@pytest.fixture
def job(flow: Flow) -> str:
    job = flow.submit("echo", {"message": "hello"}, callback_url=BACKEND)
    flow.settle()
    return job


def test_it_has_an_outcome_and_no_callback(flow: Flow, job: str) -> None:
    publish_shadow_run(flow, job)
    assert (flow.job(job).run, flow.job(job, 1).state) == (0, "COMPLETED")
    published = {(each.header.run, each.header.mode) for each in flow.outcomes("echo")}
    assert published == {(0, "live"), (1, "shadow")}
    assert [callback.event["data"]["run"] for callback in flow.callbacks] == [0]
    assert len(flow.job(job).deliveries) == 1


def test_one_for_a_version_that_is_not_served_fails_visibly(flow: Flow, job: str) -> None:
    publish_shadow_run(flow, job, version="99")
    view = flow.job(job, 1)
    assert (view.state, view.error and view.error.code) == ("FAILED", "MODEL_NOT_FOUND")
    assert (flow.job(job).state, len(flow.callbacks)) == ("COMPLETED", 1)


def test_one_that_nothing_runs_expires_visibly(flow: Flow, job: str) -> None:
    flow.pause("echo")
    publish_shadow_run(flow, job, deadline=flow.now)
    flow.advance(60)
    flow.settle()
    assert (flow.job(job, 1).state, flow.job(job).state, len(flow.callbacks)) == ("EXPIRED", "COMPLETED", 1)


def test_one_that_can_not_be_decoded_is_still_a_shadow_run(flow: Flow, job: str) -> None:
    """Its Kafka headers alone say so: without them its failure would become the job's, and be called back."""
    publish_undecodable_shadow_run(flow, job)
    assert (flow.job(job, 1).state, flow.job(job, 1).mode) == ("FAILED", "shadow")
    assert (flow.job(job).run, flow.job(job).state, len(flow.callbacks)) == (0, "COMPLETED", 1)
    assert len(flow.dead_letters()) == 1


def test_one_that_is_tried_again_stays_a_shadow_run(flow: Flow) -> None:
    job = flow.submit("echo", {"message": "a", "fail": "CONNECTION_ERROR"}, callback_url=BACKEND, max_attempts=1)
    flow.settle()
    publish_shadow_run(flow, job, max_attempts=2)
    assert flow.job(job, 1).state == "RETRYING"
    flow.advance(600)
    flow.settle()
    view = flow.job(job, 1)
    assert (view.state, view.attempt, view.mode) == ("FAILED", 2, "shadow")
    assert (flow.job(job).run, len(flow.callbacks)) == (0, 1)


def test_who_waits_for_the_job_does_not_get_the_outcome_of_its_shadow_run(flow: Flow, job: str) -> None:
    with OutcomeWaiter(flow.settings, ECHO) as waiter:
        publish_shadow_run(flow, job)
        assert list(waiter.wait([job], 0.05)) == []
