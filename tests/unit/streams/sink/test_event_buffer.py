"""Events held back: found by job, due after a while, and keeping their partition's offset back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from streams.sink.decode import is_near
from streams.sink.event import Phase
from streams.sink.event_buffer import FAST_HOLD_S, FAST_JOBS_PER_S, EventBuffer
from tests.harness.events import JOB, REQUESTS, RESULTS, event

OTHER = UUID("01890000-0000-7000-8000-000000000002")
PARTITION = (REQUESTS, 0)


def test_a_held_request_keeps_its_offset_back_until_it_is_taken() -> None:
    held = EventBuffer()
    held.hold(event(Phase.REQUESTED, 5), now=0.0)
    held.hold(event(Phase.REQUESTED, 6, job=OTHER), now=0.0)
    assert held.lowest(PARTITION) == 5
    assert [request.position.offset for request in held.take(JOB.bytes)] == [5]
    assert held.lowest(PARTITION) == 6
    assert held.take(JOB.bytes) == []


def test_what_was_held_long_enough_is_due() -> None:
    held = EventBuffer(hold_s=1.0)
    held.hold(event(Phase.REQUESTED, 5), now=10.0)
    held.hold(event(Phase.REQUESTED, 6, job=OTHER), now=10.5)
    assert held.wait_s(10.25) == 0.75
    assert held.take_due(10.9, 100) == []
    assert [request.position.offset for request in held.take_due(11.0, 100)] == [5]
    assert [request.position.offset for request in held.take_due(12.0, 100)] == [6]
    assert held.wait_s(12.0) is None
    assert held.lowest(PARTITION) is None


def test_a_job_that_was_taken_meanwhile_is_not_due() -> None:
    held = EventBuffer(hold_s=1.0)
    held.hold(event(Phase.REQUESTED, 5), now=0.0)
    held.take(JOB.bytes)
    assert held.wait_s(0.0) is None
    assert held.take_due(9.0, 100) == []


def test_no_more_are_due_at_once_than_a_batch_takes() -> None:
    held = EventBuffer(hold_s=0.0)
    for number in range(5):
        held.hold(event(Phase.REQUESTED, number, job=UUID(int=number)), now=0.0)
    assert [len(held.take_due(1.0, 2)) for _ in range(3)] == [2, 2, 1]


def test_what_came_from_a_partition_that_is_gone_is_forgotten() -> None:
    held = EventBuffer()
    held.hold(event(Phase.REQUESTED, 5), now=0.0)
    held.forget(PARTITION)
    assert len(held) == 0
    assert held.lowest(PARTITION) is None


def test_a_result_makes_its_job_due_sooner_and_with_its_request() -> None:
    held = EventBuffer(hold_s=1.0, hold_results_s=0.25)
    held.hold(event(Phase.REQUESTED, 5), now=0.0)
    held.hold(event(Phase.REQUESTED, 6, job=OTHER), now=0.0)
    held.hold(event(Phase.ENDED, 9), now=0.5)
    assert held.wait_s(0.5) == 0.25
    assert [each.phase for each in held.take_due(0.75, 100)] == [Phase.REQUESTED, Phase.ENDED]
    assert held.wait_s(0.75) == 0.25
    assert held.lowest((RESULTS, 0)) is None


def test_the_oldest_results_can_be_taken_before_they_are_due() -> None:
    held = EventBuffer()
    held.hold(event(Phase.REQUESTED, 0), now=0.0)
    for number in range(3):
        held.hold(event(Phase.ENDED, number, job=UUID(int=number)), now=0.0)
    assert [each.position.offset for each in held.take_results(2)] == [0, 1]
    assert [each.position.offset for each in held.take_results(2)] == [2]
    assert held.take_results(2) == []
    assert len(held) == 1, "the lone request waits on"


def test_a_record_that_comes_late_keeps_back_the_offset_before_those_that_passed_it() -> None:
    held = EventBuffer()
    held.hold(event(Phase.ENDED, 8), now=0.0)
    held.hold(event(Phase.ENDED, 5, job=OTHER), now=0.0)
    assert held.lowest((RESULTS, 0)) == 5
    held.take(OTHER.bytes)
    assert held.lowest((RESULTS, 0)) == 8


def test_while_jobs_end_fast_their_requests_are_held_longer() -> None:
    held = EventBuffer(hold_s=1.0, fast_hold_s=5.0)
    held.ended(0, now=10.0)
    held.hold(event(Phase.REQUESTED, 5), now=10.5)
    held.ended(FAST_JOBS_PER_S, now=11.0)
    assert held.take_due(12.0, 100) == []
    assert held.wait_s(12.0) == 3.5
    held.ended(FAST_JOBS_PER_S - 1, now=12.0)
    assert [request.position.offset for request in held.take_due(12.0, 100)] == [5]


def test_a_deadline_that_could_pass_while_its_request_is_held_is_near() -> None:
    assert is_near(datetime.now(UTC) + timedelta(seconds=FAST_HOLD_S))
    assert not is_near(datetime.now(UTC) + timedelta(minutes=1))
