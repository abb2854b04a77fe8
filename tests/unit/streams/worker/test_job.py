"""Who is blamed when a child is gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ErrorCode
from streams.worker import job as judge
from streams.worker.in_flight import Assignment, InFlightJob
from streams.worker.protocol import Flag

OWNED = Assignment("requests.echo", 0, 0)


def running(count: int) -> list[InFlightJob]:
    jobs = [InFlightJob(slot, None, OWNED, 1, 0) for slot in range(count)]
    for held in jobs:
        held.started = True
    return jobs


def fate(held: InFlightJob) -> tuple[str, int, int]:
    """Its error_code, its executions, its crashes."""
    return held.error_code.decode() if held.flags & Flag.REJECTED else "", held.execution, held.crashes


def test_a_job_under_which_the_process_dies_three_times_is_the_killer() -> None:
    (held,) = running(1)
    judge.died_under(held, 3)
    assert (fate(held), held.flags) == (("", 2, 1), Flag.ISOLATED)
    judge.died_under(held, 3)
    assert fate(held) == ("", 3, 2)
    judge.died_under(held, 3)
    assert fate(held) == ("WORKER_LOST", 3, 3)
    assert not held.flags & Flag.SKIP_DECODING


def test_a_killer_whose_verdict_kills_too_is_not_read_again() -> None:
    (held,) = running(1)
    judge.died_under(held, 1)
    judge.died_under(held, 1)
    assert held.flags & Flag.SKIP_DECODING


def test_a_verdict_that_waits_beside_a_killer_is_only_put_aside() -> None:
    (held,) = running(1)
    judge.called_off(held)
    judge.died_under(held, 3)
    assert held.flags == Flag.REJECTED | Flag.ISOLATED
    assert fate(held) == ("CANCELLED", 1, 0)


def test_those_that_ran_beside_a_job_we_killed_for_run_again_and_are_not_suspected() -> None:
    late, mate = running(2)
    judge.killed_for([late, mate], {late.slot: ErrorCode.TIMEOUT_ERROR})
    assert fate(late) == ("TIMEOUT_ERROR", 1, 0)
    assert (fate(mate), mate.flags) == (("", 2, 0), 0)


def test_of_several_that_pass_their_limit_together_each_gets_it_again_alone() -> None:
    jobs = running(3)
    judge.killed_for(jobs, {0: ErrorCode.TIMEOUT_ERROR, 1: ErrorCode.TIMEOUT_ERROR})
    assert [(fate(held), held.flags) for held in jobs] == [
        (("", 2, 0), Flag.ISOLATED),
        (("", 2, 0), Flag.ISOLATED),
        (("", 2, 0), 0),
    ]


def test_every_job_that_would_not_stop_ends_cancelled() -> None:
    jobs = running(2)
    judge.killed_for(jobs, {0: ErrorCode.CANCELLED, 1: ErrorCode.CANCELLED})
    assert [fate(held) for held in jobs] == [("CANCELLED", 1, 0)] * 2


@given(st.sampled_from([ErrorCode.TIMEOUT_ERROR, ErrorCode.CANCELLED, ErrorCode.DEADLINE_EXCEEDED]), st.integers(1, 4))
def test_each_kill_for_a_job_changes_how_the_next_process_gets_it(why: ErrorCode, count: int) -> None:
    jobs = running(count)
    ways = [[held.flags for held in jobs]]
    for _ in range(10):
        judge.killed_for(jobs, {held.slot: why for held in jobs})
        ways.append([held.flags for held in jobs])
        if all(flags & Flag.SKIP_DECODING for flags in ways[-1]):
            break
        assert all(before != after for before, after in zip(*ways[-2:], strict=True))
    assert len(ways) <= 5, "four kills, then it is put aside unread"


@given(st.lists(st.sampled_from([None, ErrorCode.TIMEOUT_ERROR, ErrorCode.CANCELLED, ErrorCode.DEADLINE_EXCEEDED])))
def test_a_death_by_our_hand_makes_no_job_a_killer(reasons: list[ErrorCode | None]) -> None:
    jobs = running(len(reasons))
    for _ in range(5):
        judge.killed_for(jobs, {slot: why for slot, why in enumerate(reasons) if why})
    assert all(held.crashes == 0 and held.error_code != b"WORKER_LOST" for held in jobs)
