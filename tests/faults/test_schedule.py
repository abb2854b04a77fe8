"""The schedule of faults: the same for the same seed, different for others, and in a few seeds every fault."""

from __future__ import annotations

from itertools import pairwise

from tests.faults.assignments import WEIGHTS, Assignments
from tests.faults.schedule import EVERYTHING, KINDS, NEEDS_COMPILER, schedule


def test_a_seed_always_gives_the_same_schedule() -> None:
    assert schedule(7, 100.0) == schedule(7, 100.0)
    assert schedule(7, 100.0) != schedule(8, 100.0)


def test_a_schedule_fits_its_time_and_ends_with_the_end_of_everything() -> None:
    for seed in range(50):
        faults = schedule(seed, 100.0)
        assert len(faults) >= 8
        assert faults[-1].kind == EVERYTHING
        assert all(first.at <= second.at for first, second in pairwise(faults))
        assert all(fault.at + fault.lasts <= 102.0 for fault in faults), faults


def test_every_fault_comes_up_in_some_seeds() -> None:
    drawn = {(fault.kind, fault.target) for seed in range(30) for fault in schedule(seed, 100.0)}
    assert drawn == {(kind, target) for kind, (targets, _) in KINDS.items() for target in targets} | {(EVERYTHING, "")}


def test_kinds_that_the_machine_can_not_inject_are_left_out() -> None:
    faults = [fault for seed in range(30) for fault in schedule(seed, 100.0, NEEDS_COMPILER)]
    assert not {fault.kind for fault in faults} & NEEDS_COMPILER


def test_a_seed_draws_every_kind_of_job_with_its_answer() -> None:
    drawn, again = Assignments(7, "client"), Assignments(7, "client")
    jobs = [drawn.next() for _ in range(500)]
    assert {job.kind for job in jobs} == WEIGHTS.keys()
    assert [again.next().answer for _ in range(500)] == [job.answer for job in jobs]
    assert all(job.answer[::-1] == job.input["message"] for job in jobs)
    assert len({job.token for job in jobs}) == 500
