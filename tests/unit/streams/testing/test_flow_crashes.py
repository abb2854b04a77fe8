"""A job in a flow has one outcome and one callback, although workers die and records arrive twice."""

from __future__ import annotations

import pytest

from processors.policy import Batch, Order, Policy
from schemas.errors import NotFound
from streams.testing import Flow
from tests.unit.streams.testing.shout import SHOUT, Shout

BACKEND = "http://backend.example/done"


@pytest.mark.parametrize(("when", "runs"), [("taken", 1), ("run", 2), ("published", 2)])
def test_a_worker_that_dies_costs_a_run_and_never_an_outcome(when: str, runs: int) -> None:
    shout = Shout()
    with Flow(shout, contract=SHOUT) as flow:
        jobs = [flow.submit("shout", {"message": text}, callback_url=BACKEND) for text in ("a", "b")]
        flow.kill_worker(when)
        flow.settle()
        assert [flow.job(job).state for job in jobs] == ["COMPLETED", "COMPLETED"]
        assert sum(map(len, shout.runs)) == 2 * runs
        assert len(flow.outcomes("shout")) == 2
        assert sorted(callback.job_id for callback in flow.callbacks) == sorted(jobs)


def test_a_result_or_a_request_that_comes_twice_is_one_outcome_and_one_callback() -> None:
    with Flow("echo") as flow:
        job = flow.submit("echo", {"message": "x"}, callback_url=BACKEND)
        with pytest.raises(NotFound):
            flow.redeliver(job)
        flow.settle()
        flow.redeliver(job)
        flow.redeliver(job, "request")
        flow.settle()
        kinds = sorted(line.kind for line in flow.job(job).history)
        assert kinds == ["request", "request", "result", "superseded", "superseded"]
        assert len(flow.outcomes("echo")) == 1
        assert len(flow.callbacks) == 1


def test_the_same_key_is_the_same_job() -> None:
    with Flow("echo") as flow:
        one, two = (flow.submit("echo", {"message": "x"}, idempotency_key="k") for _ in range(2))
        flow.settle()
        assert one == two
        assert len(flow.outcomes("echo")) == 1


def test_bytes_that_are_no_request_are_a_dead_letter() -> None:
    with Flow("echo") as flow:
        producer = flow.log.producer()
        producer.produce("requests.echo", b"?")
        producer.flush()
        flow.settle()
        [dead] = flow.dead_letters()
        assert (dead["sluice-dl-topic"], dead["sluice-dl-offset"]) == ("requests.echo", "0")


def test_ordered_jobs_run_one_by_one() -> None:
    shout = Shout()
    shout.policy = Policy(batch=Batch(8), order=Order.PARTITION)
    with Flow(shout, contract=SHOUT) as flow:
        for text in "abc":
            flow.submit("shout", {"message": text}, order_key="same")
        flow.settle()
        assert shout.runs == [["a"], ["b"], ["c"]]
