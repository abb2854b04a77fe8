"""Commands that a worker remembers."""

from __future__ import annotations

from schemas.commands import job_key
from streams.worker.command_state import CommandState, PauseState
from streams.worker.job import JobOrigin
from tests.harness.jobs import new_job

ORIGIN = JobOrigin("requests.echo", 0, 0)
JOB = "0198c9a0-0000-7000-8000-000000000001"


def command_key(*headers: tuple[str, bytes]) -> bytes:
    return new_job(ORIGIN, headers=headers).command_key()


def test_a_cancel_is_found_by_the_headers_of_the_request_it_is_about() -> None:
    state = CommandState()
    state.cancel(job_key(JOB, 3), 1000.0)
    assert state.is_cancelled(command_key(("sluice-job", JOB.encode()), ("sluice-run", b"3")))
    assert not state.is_cancelled(command_key(("sluice-job", JOB.encode()), ("sluice-run", b"4")))


def test_a_request_without_a_run_belongs_to_the_first_and_one_without_a_job_matches_no_cancel() -> None:
    assert command_key(("sluice-job", JOB.encode())) == job_key(JOB, 0)
    assert command_key(("sluice-run", b"0")) == b""
    assert command_key() == b""


def test_each_engine_gets_each_cancel_once_and_none_from_before_it_subscribed() -> None:
    state = CommandState()
    state.cancel(b"job:a:0", 1.0)
    first, second = state.subscribe(), state.subscribe()
    state.cancel(b"job:b:0", 2.0)
    assert (list(first), list(second)) == ([b"job:b:0"], [b"job:b:0"])
    assert state.any_cancelled
    assert state.is_cancelled(b"job:a:0")


def test_old_cancels_are_forgotten() -> None:
    state = CommandState(keep_s=100.0)
    for second in range(0, 300, 50):
        state.cancel(b"job:%d:0" % second, float(second))
    assert [second for second in range(0, 300, 50) if state.is_cancelled(b"job:%d:0" % second)] == [150, 200, 250]


def test_the_oldest_of_too_many_cancels_are_forgotten_and_a_repeated_one_counts_as_new() -> None:
    state = CommandState(keep_at_most=10)
    for number in range(10):
        state.cancel(b"job:%d:0" % number, 1.0)
    state.cancel(b"job:0:0", 2.0)
    state.cancel(b"job:10:0", 3.0)
    assert state.is_cancelled(b"job:0:0")
    assert not state.is_cancelled(b"job:1:0")
    assert state.is_cancelled(b"job:10:0")


def test_a_cancel_deleted_from_the_topic_is_forgotten() -> None:
    state = CommandState()
    state.cancel(b"job:a:0", 1.0)
    state.withdraw(b"job:a:0")
    state.withdraw(b"job:never:0")
    assert not state.any_cancelled


def test_the_last_command_for_a_processor_counts_and_an_equal_new_one_is_another_object() -> None:
    state = CommandState()
    assert state.pause_state("echo") is None
    once, again = PauseState(True), PauseState(True)
    state.set_pause("echo", once)
    state.set_pause("echo", again)
    assert state.pause_state("echo") is again
    assert state.pause_state("echo") is not once
