"""Subscribers of outcomes get each final word once; the log, the sink and the worker are those of a flow in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from sluice_client import kafka
from sluice_client.errors import UnexpectedAnswer, UsageError
from sluice_client.kafka import Outcome, OutcomeSubscription
from streams import wiring
from streams.log import kafka as log_clients
from streams.testing import Flow
from tests.harness.shadow_runs import publish_shadow_run


class Outcomes:
    """A flow whose outcomes are read; `take` opens a subscription and handles what there is."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.topic = flow.settings.topics.outcomes("echo")

    def run_jobs(self, *messages: str) -> list[str]:
        jobs = [self.flow.submit("echo", {"message": message}) for message in messages]
        self.flow.settle()
        return jobs

    def open(self, **options: Any) -> OutcomeSubscription:
        consumer = log_clients.consumer(self.flow.settings, "backend", **{"auto.offset.reset": "earliest"})
        schema_of = wiring.registry(self.flow.settings).schema_by_id
        return OutcomeSubscription(consumer, self.topic, schema_of, **options)

    def publish_again(self) -> None:
        """Write every outcome once more, as the sink does after a crash."""
        producer = log_clients.producer(self.flow.settings)
        for record in self.flow.records(self.topic):
            producer.produce(self.topic, record.value(), record.key(), partition=int(record.partition() or 0))
        producer.flush(5)


def drain(subscription: OutcomeSubscription) -> list[Outcome]:
    return list(iter(lambda: subscription.poll(0.05), None))


@pytest.fixture
def outcomes() -> Iterator[Outcomes]:
    with Flow("echo") as flow:
        yield Outcomes(flow)


def ids(found: list[Outcome]) -> set[str]:
    assert len({outcome.job_id for outcome in found}) == len(found)
    return {outcome.job_id for outcome in found}


def test_an_outcome_is_typed(outcomes: Outcomes) -> None:
    job = outcomes.flow.submit("echo", {"message": "grüße"}, case_id="c1", labels={"a": "b"})
    outcomes.flow.settle()
    with outcomes.open() as subscription:
        (found,) = drain(subscription)
    assert (found.job_id, found.run, found.processor, found.status) == (job, 0, "echo", "COMPLETED")
    assert found.output == {"message": "grüße", "length": 5}
    assert (found.case_id, found.labels, found.error, found.files) == ("c1", {"a": "b"}, None, ())
    assert found.record["header"]["job_id"] == job


def test_outcomes_of_shadow_runs_are_handed_out_only_if_asked_for(outcomes: Outcomes) -> None:
    [job] = outcomes.run_jobs("a")
    publish_shadow_run(outcomes.flow, job)
    with outcomes.open() as subscription:
        assert [(found.job_id, found.run) for found in drain(subscription)] == [(job, 0)]
    with outcomes.open() as subscription:
        assert drain(subscription) == []  # its offset is committed all the same
    outcomes.publish_again()
    publish_shadow_run(outcomes.flow, job, run=2)
    with outcomes.open(shadow_runs=True) as subscription:
        assert [(found.job_id, found.run) for found in drain(subscription)] == [(job, 2)]


def test_a_cancelled_and_an_expired_job_have_their_final_word_too(outcomes: Outcomes) -> None:
    cancelled = outcomes.flow.submit("echo", {"message": "a"})
    expired = outcomes.flow.submit("echo", {"message": "b"}, deadline=outcomes.flow.now + timedelta(seconds=5))
    outcomes.flow.cancel(cancelled)
    outcomes.flow.settle(worker=False)
    outcomes.flow.advance(60)
    outcomes.flow.settle(worker=False)
    with outcomes.open() as subscription:
        assert {outcome.job_id: outcome.status for outcome in drain(subscription)} == {
            cancelled: "CANCELLED",
            expired: "EXPIRED",
        }


def test_an_outcome_that_is_published_again_is_handed_out_once(outcomes: Outcomes) -> None:
    jobs = outcomes.run_jobs("a", "b")
    outcomes.publish_again()
    with outcomes.open() as subscription:
        assert ids(drain(subscription)) == set(jobs)


def test_an_outcome_that_is_published_again_while_no_member_runs_is_handed_out_once(outcomes: Outcomes) -> None:
    jobs = outcomes.run_jobs("a", "b")
    with outcomes.open() as subscription:
        assert ids(drain(subscription)) == set(jobs)
    outcomes.publish_again()
    more = outcomes.run_jobs("c")
    with outcomes.open() as subscription:
        assert ids(drain(subscription)) == set(more)


def test_an_outcome_whose_handling_failed_comes_again_and_those_before_it_do_not(outcomes: Outcomes) -> None:
    jobs = outcomes.run_jobs("a", "b", "c", "d", "e")
    handled: list[str] = []
    with pytest.raises(ZeroDivisionError), outcomes.open() as subscription:  # noqa: PT012 - the block is a handler
        for outcome in subscription:
            if len(handled) == 3:
                raise ZeroDivisionError
            handled.append(outcome.job_id)
    with outcomes.open() as subscription:
        rest = [outcome.job_id for outcome in drain(subscription)]
    assert len(rest) == 2
    assert set(handled) | set(rest) == set(jobs)


def test_a_loop_that_is_left_without_an_error_has_handled_its_last_outcome(outcomes: Outcomes) -> None:
    outcomes.run_jobs("a", "b")
    with outcomes.open() as subscription:
        first = next(subscription).job_id
    with outcomes.open() as subscription:
        assert first not in ids(drain(subscription))


def test_a_new_group_may_begin_with_now(outcomes: Outcomes) -> None:
    outcomes.run_jobs("a")
    with outcomes.open(from_start=False) as subscription:
        assert drain(subscription) == []
        later = outcomes.run_jobs("b")
        assert ids(drain(subscription)) == set(later)


@pytest.mark.parametrize("damage", [b"", b"\x00\x00", b"not framed", b"\x00\x00\x00\x00\x01\xff\xff"])
def test_bytes_that_are_no_outcome_are_named_by_their_place(outcomes: Outcomes, damage: bytes) -> None:
    producer = log_clients.producer(outcomes.flow.settings)
    producer.produce(outcomes.topic, damage, b"j1:0")
    producer.flush(5)
    with pytest.raises(UnexpectedAnswer, match=r"outcomes\.echo:\d:0"), outcomes.open() as subscription:
        drain(subscription)


def test_two_members_share_the_outcomes(outcomes: Outcomes) -> None:
    with outcomes.open() as one, outcomes.open() as two:
        found = drain(one) + drain(two)
        jobs = outcomes.run_jobs(*(str(number) for number in range(30)))
        while len(found) < len(jobs):
            found += drain(one) + drain(two)
    assert ids(found) == set(jobs)


def test_subscribing_needs_the_address_of_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    with pytest.raises(UsageError, match="KAFKA_BOOTSTRAP_SERVERS"):
        kafka.subscribe("echo", "backend", registry_url="http://registry.example")
