"""How long jobs run, and which progress is published."""

from __future__ import annotations

from schemas.errors import ErrorCode
from streams.worker.supervision.limits import RunningJobs


def test_a_job_done_at_once_leaves_no_progress() -> None:
    running = RunningJobs()
    running.started([1], None, 0.0)
    running.progress(1, "half", 50, "")
    assert running.updates(0.2) == []
    running.ended([1])
    assert running.updates(9.0) == []


def test_the_child_is_not_killed_for_a_prepared_job_that_waits_for_the_device() -> None:
    running = RunningJobs()
    running.started([1], 1000, 0.0)
    assert running.long(0.5) == [1]
    running.set_deadline(1, 0.7)
    running.paused([1])
    assert (running.overdue(9.0), running.long(9.0)) == ({}, [])
    running.started([1], 1000, 10.0)
    assert running.long(10.5) == [1], "its deadline is asked for again"
    running.set_deadline(1, 10.7)
    assert running.overdue(10.8) == {1: ErrorCode.DEADLINE_EXCEEDED}


def test_a_long_job_reports_its_start_once() -> None:
    running = RunningJobs()
    running.started([1, 2], None, 0.0)
    assert [(update.slot, update.stage, update.sequence) for update in running.updates(0.3)] == [
        (1, "started", 1),
        (2, "started", 1),
    ]
    assert running.updates(5.0) == []


def test_at_most_two_updates_a_second_are_published_and_the_last_one_wins() -> None:
    running = RunningJobs()
    running.started([1], None, 0.0)
    running.updates(0.3)
    running.progress(1, "a", 10, "")
    running.progress(1, "b", 20, "two")
    assert running.updates(0.5) == []
    (update,) = running.updates(0.85)
    assert (update.stage, update.percent, update.message, update.sequence) == ("b", 20, "two", 2)
    running.progress(1, "c", 30, "")
    assert running.updates(1.2) == []
    assert [update.stage for update in running.updates(1.4)] == ["c"]


def test_an_update_of_a_job_that_has_ended_is_dropped() -> None:
    running = RunningJobs()
    running.progress(7, "late", None, "")
    assert running.updates(9.0) == []


def test_jobs_past_their_limit_are_overdue_until_they_end() -> None:
    running = RunningJobs()
    running.started([1, 2], 1000, 0.0)
    running.started([3], None, 0.0)
    running.started([2], 5000, 0.0)
    assert running.overdue(0.9) == {}
    assert running.overdue(1.0) == {1: ErrorCode.TIMEOUT_ERROR}
    running.ended([1])
    assert running.overdue(2.0) == {}


def test_another_start_restarts_the_limit() -> None:
    running = RunningJobs()
    running.started([1], 1000, 0.0)
    running.started([1], 1000, 0.8)
    assert running.overdue(1.5) == {}


def test_the_jobs_of_a_process_that_ended_are_forgotten() -> None:
    running = RunningJobs()
    running.started([1], 10, 0.0)
    running.clear()
    assert running.overdue(9.0) == {}
    assert running.updates(9.0) == []


def test_a_cancelled_job_is_overdue_when_its_grace_ends() -> None:
    running = RunningJobs()
    running.started([1], None, 0.0)
    running.cancelled([1, 2], 5.0)
    running.cancelled([1], 9.0)
    assert running.overdue(4.9) == {}
    assert running.overdue(5.0) == {1: ErrorCode.CANCELLED}, "job 2 waits: its process is not to blame"


def test_a_cancelled_job_that_stops_is_not_overdue() -> None:
    running = RunningJobs()
    running.started([1], 100_000, 0.0)
    running.cancelled([1], 5.0)
    running.ended([1])
    assert running.overdue(6.0) == {}


def test_without_a_grace_a_cancelled_job_is_never_killed_but_remembered() -> None:
    running = RunningJobs()
    running.started([1], None, 0.0)
    running.cancelled([1, 2], None)
    assert running.overdue(1e9) == {}
    assert running.clear() == {1, 2}
    assert running.clear() == set()


def test_a_job_that_runs_for_a_while_is_named_once() -> None:
    running = RunningJobs()
    running.started([1, 2], None, 0.0)
    running.started([3], None, 0.2)
    assert running.long(0.2) == []
    assert running.long(0.3) == [1, 2]
    assert running.long(0.5) == [3]
    running.ended([1])
    running.started([1], None, 1.0)
    assert running.long(2.0) == [1]


def test_a_job_past_its_deadline_and_its_grace_is_overdue() -> None:
    running = RunningJobs()
    running.started([1], None, 0.0)
    assert running.long(1.0) == [1]
    running.set_deadline(1, 5.0)
    running.set_deadline(2, 5.0)
    assert running.overdue(4.9) == {}
    assert running.overdue(5.0) == {1: ErrorCode.DEADLINE_EXCEEDED}
    running.ended([1])
    assert running.overdue(6.0) == {}


def test_a_disowned_job_keeps_its_hard_limit_while_it_uses_the_device() -> None:
    running = RunningJobs()
    running.started([1], 1000, 0.0)
    running.cancelled([1], 0.5)
    running.disowned([1])
    assert running.overdue(0.9) == {}
    assert running.overdue(1.0) == {1: ErrorCode.TIMEOUT_ERROR}


def test_the_clock_of_a_job_stops_while_it_waits_between_two_steps() -> None:
    running = RunningJobs()
    running.started([1], 1000, 0.0)
    running.started([1], None, 0.5)
    assert running.overdue(9.0) == {}
    running.started([1], 1000, 9.0)
    assert running.overdue(9.9) == {}
    assert running.overdue(10.0) == {1: ErrorCode.TIMEOUT_ERROR}


def test_a_job_without_a_hard_limit_gets_the_default_and_one_with_its_own_keeps_it() -> None:
    running = RunningJobs(default_s=100.0)
    running.started([1], None, 0.0)
    running.started([2], 500_000, 0.0)
    running.started([3], None, 60.0)
    assert running.overdue(99.0) == {}
    assert running.overdue(101.0) == {1: ErrorCode.TIMEOUT_ERROR}
    running.started([1], None, 101.0)  # its next step: the job's time goes on
    assert running.overdue(161.0) == {1: ErrorCode.TIMEOUT_ERROR, 3: ErrorCode.TIMEOUT_ERROR}
