"""A step of the sink that fails between poll and store loses no job: the next sink reads its records again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Message

from schemas.errors import Unreachable
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer
from streams.log.reconnect import Stopped
from streams.settings import Settings
from streams.sink.batching import EventBatches
from streams.sink.outcomes import OutcomePublisher
from streams.sink.session import Session
from streams.sink.writer import BatchWriter
from tests.harness.sink_kit import open_sink, states, step_and_settle, step_until_read, submit_jobs

JOBS = 5


def unreachable(*_: Any) -> Any:
    raise Unreachable("Postgres is unreachable.")


def jobs_after_another_sink(settings: Settings) -> int:
    sink = open_sink(settings)
    step_and_settle(sink)
    sink.close()
    return sum(states(settings).values())


@pytest.mark.parametrize("fault", [Stopped(), Unreachable("Postgres is unreachable."), ValueError("a bug")], ids=type)
@pytest.mark.parametrize(
    ("part", "call"),
    [(EventBatches, "take"), (EventBatches, "take_held"), (BatchWriter, "write"), (OutcomePublisher, "publish")],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_job_whose_step_fails_is_stored_by_the_next_sink(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, part: type, call: str, fault: Exception
) -> None:
    submit_jobs(settings, JOBS)
    sink = open_sink(settings)
    original = getattr(part, call)

    def fails_after_the_call(*args: Any) -> Any:
        if call == "take" and not args[1]:  # no message was polled yet
            return original(*args)
        if call.startswith("take"):
            original(*args)
        raise fault

    with monkeypatch.context() as broken:
        broken.setattr(part, call, fails_after_the_call)
        with pytest.raises(type(fault)):
            step_and_settle(sink)
    sink.settle()  # a stop after the failed step, once the fault is over
    sink.close()
    assert jobs_after_another_sink(settings) == JOBS


def test_a_sink_that_could_not_settle_before_a_rebalance_ends_its_session(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_jobs(settings, JOBS)
    sink = open_sink(settings)
    step_until_read(sink)
    second = open_sink(settings)
    with monkeypatch.context() as broken:
        broken.setattr(BatchWriter, "write", unreachable)
        second_joins = threading.Thread(target=second.step)
        second_joins.start()
        with pytest.raises(Unreachable):
            step_until_read(sink)
        second_joins.join()
    sink.close()
    second.close()
    assert jobs_after_another_sink(settings) == JOBS


def step_with_a_rebalance(sink: Session, monkeypatch: pytest.MonkeyPatch, write: Callable[..., Any]) -> None:
    """Run one step; inside its poll partitions are revoked, and `write` takes the place of the write to the store."""

    def poll(consumer: LogConsumer, limit: int, timeout_s: float, max_bytes: int) -> list[Message]:
        messages = poll_batch(consumer, limit, timeout_s, max_bytes)
        with monkeypatch.context() as broken:
            broken.setattr(BatchWriter, "write", write)
            sink.assignment.on_revoke(consumer, [])
        return messages

    with monkeypatch.context() as rebalancing:
        rebalancing.setattr("streams.sink.session.poll_batch", poll)
        sink.step()


def stopped(*_: Any) -> Any:
    raise Stopped


@pytest.mark.parametrize(("write", "fault"), [(unreachable, Unreachable), (stopped, Stopped)])
def test_a_settle_that_fails_inside_consume_ends_the_session_before_its_messages_are_stored(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, write: Callable[..., Any], fault: type[Exception]
) -> None:
    submit_jobs(settings, JOBS)
    sink = open_sink(settings)
    for _ in range(3):
        sink.step()  # the requests are read and held
    submit_jobs(settings, JOBS)
    with pytest.raises(fault):
        step_with_a_rebalance(sink, monkeypatch, write)
    sink.settle()  # a stop after it, once the store answers again
    sink.close()
    assert jobs_after_another_sink(settings) == 2 * JOBS
