"""What a worker remembers of the control topic."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Message

from schemas.commands import job_key
from streams.worker.command_state import CommandState, PauseState, command_key

JOB = "0198c9a0-0000-7000-8000-000000000001"


def test_a_cancel_is_found_by_the_headers_of_the_request_it_is_about() -> None:
    orders = CommandState()
    orders.cancel(job_key(JOB, 3), 1000.0)
    told: Any = [("sluice-job", JOB.encode()), ("sluice-run", b"3")]
    assert orders.is_cancelled(command_key(Message(headers=told)))
    assert not orders.is_cancelled(command_key(Message(headers=[told[0], ("sluice-run", b"4")])))


def test_a_request_without_a_run_is_of_the_first_and_one_without_a_job_matches_nothing() -> None:
    assert command_key(Message(headers=[("sluice-job", JOB.encode())])) == job_key(JOB, 0)
    assert command_key(Message(headers=[("sluice-run", b"0")])) == b""
    assert command_key(Message()) == b""


def test_each_engine_hears_each_cancel_once_and_none_from_before_it_listened() -> None:
    orders = CommandState()
    orders.cancel(b"job:a:0", 1.0)
    first, second = orders.mailbox(), orders.mailbox()
    orders.cancel(b"job:b:0", 2.0)
    assert (list(first), list(second)) == ([b"job:b:0"], [b"job:b:0"])
    assert orders.any_cancelled
    assert orders.is_cancelled(b"job:a:0")


def test_old_cancels_are_forgotten() -> None:
    orders = CommandState(keep_s=100.0)
    for second in range(0, 300, 50):
        orders.cancel(b"job:%d:0" % second, float(second))
    assert [second for second in range(0, 300, 50) if orders.is_cancelled(b"job:%d:0" % second)] == [150, 200, 250]


def test_of_too_many_the_oldest_are_forgotten_but_one_said_again_is_new() -> None:
    orders = CommandState(keep_at_most=10)
    for number in range(10):
        orders.cancel(b"job:%d:0" % number, 1.0)
    orders.cancel(b"job:0:0", 2.0)
    orders.cancel(b"job:10:0", 3.0)
    assert orders.is_cancelled(b"job:0:0")
    assert not orders.is_cancelled(b"job:1:0")
    assert orders.is_cancelled(b"job:10:0")


def test_a_cancel_that_the_topic_forgot_is_none() -> None:
    orders = CommandState()
    orders.cancel(b"job:a:0", 1.0)
    orders.take_back(b"job:a:0")
    orders.take_back(b"job:never:0")
    assert not orders.any_cancelled


def test_the_last_word_about_a_processor_counts_and_a_new_one_can_be_told_from_it() -> None:
    orders = CommandState()
    assert orders.of("echo") is None
    once, again = PauseState(True), PauseState(True)
    orders.rest("echo", once)
    orders.rest("echo", again)
    assert orders.of("echo") is again
    assert orders.of("echo") is not once
