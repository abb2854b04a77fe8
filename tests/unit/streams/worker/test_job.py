"""Crashes and kills of the child change the state of its jobs."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ErrorCode
from streams.worker import job as job_module
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob, JobOrigin, JobState
from streams.worker.protocol import Flag
from tests.harness.jobs import admitted

ORIGIN = JobOrigin("requests.echo", 0, 0)


def running(count: int) -> list[InFlightJob]:
    jobs = admitted(InFlightJobs(), ORIGIN, *range(count))
    for job in jobs:
        job.start()
    return jobs


def kill(jobs: Sequence[InFlightJob], overdue: Mapping[int, ErrorCode]) -> None:
    """Kill the child for jobs, by their position."""
    InFlightJobs().killed_for(jobs, {jobs[position].slot: reason for position, reason in overdue.items()})


def fate(job: InFlightJob) -> tuple[str, int, int]:
    """Error code, executions and crashes."""
    return job.error_code.decode() if job.rejected else "", job.execution, job.crashes


def test_a_job_that_ran_in_three_crashes_is_lost() -> None:
    (job,) = running(1)
    job.crashed(3)
    assert (fate(job), job.flags) == (("", 2, 1), Flag.ISOLATED)
    job.crashed(3)
    assert fate(job) == ("", 3, 2)
    job.crashed(3)
    assert fate(job) == ("WORKER_LOST", 3, 3)
    assert not job.flags & Flag.SKIP_DECODING


def test_a_job_whose_failure_crashes_the_child_too_is_not_decoded_again() -> None:
    (job,) = running(1)
    job.crashed(1)
    job.crashed(1)
    assert job.flags & Flag.SKIP_DECODING


def test_a_rejected_job_beside_a_killer_is_only_isolated() -> None:
    (job,) = running(1)
    job.mark_cancelled()
    job.crashed(3)
    assert job.flags == Flag.REJECTED | Flag.ISOLATED
    assert fate(job) == ("CANCELLED", 1, 0)


def test_jobs_beside_one_we_killed_for_run_again_and_are_not_suspected() -> None:
    late, mate = running(2)
    kill([late, mate], {0: ErrorCode.TIMEOUT_ERROR})
    assert fate(late) == ("TIMEOUT_ERROR", 1, 0)
    assert (fate(mate), mate.flags) == (("", 2, 0), 0)


def test_several_jobs_that_pass_their_limit_together_run_again_alone() -> None:
    jobs = running(3)
    kill(jobs, {0: ErrorCode.TIMEOUT_ERROR, 1: ErrorCode.TIMEOUT_ERROR})
    assert [(fate(job), job.flags) for job in jobs] == [
        (("", 2, 0), Flag.ISOLATED),
        (("", 2, 0), Flag.ISOLATED),
        (("", 2, 0), 0),
    ]


def test_every_job_that_did_not_stop_ends_cancelled() -> None:
    jobs = running(2)
    kill(jobs, {0: ErrorCode.CANCELLED, 1: ErrorCode.CANCELLED})
    assert [fate(job) for job in jobs] == [("CANCELLED", 1, 0)] * 2


@given(st.sampled_from([ErrorCode.TIMEOUT_ERROR, ErrorCode.CANCELLED, ErrorCode.DEADLINE_EXCEEDED]), st.integers(1, 4))
def test_each_kill_for_a_job_changes_how_the_next_process_runs_it(why: ErrorCode, count: int) -> None:
    jobs = running(count)
    ways = [[job.flags for job in jobs]]
    for _ in range(10):
        kill(jobs, dict.fromkeys(range(count), why))
        ways.append([job.flags for job in jobs])
        if all(flags & Flag.SKIP_DECODING for flags in ways[-1]):
            break
        assert all(before != after for before, after in zip(*ways[-2:], strict=True))
    assert len(ways) <= 5, "four kills, then it is not decoded"


@given(st.lists(st.sampled_from([None, ErrorCode.TIMEOUT_ERROR, ErrorCode.CANCELLED, ErrorCode.DEADLINE_EXCEEDED])))
def test_a_kill_counts_as_no_crash(reasons: list[ErrorCode | None]) -> None:
    jobs = running(len(reasons))
    for _ in range(5):
        kill(jobs, {position: why for position, why in enumerate(reasons) if why})
    assert all(job.crashes == 0 and job.error_code != b"WORKER_LOST" for job in jobs)


def test_a_job_that_the_child_did_not_begin_is_sent_again_as_it_was() -> None:
    in_flight = InFlightJobs()
    begun, waits = admitted(in_flight, ORIGIN, 0, 1)
    in_flight.started([begun.slot])
    in_flight.crashed([begun], 3)
    assert [job.state for job in in_flight.with_child()] == [JobState.QUEUED, JobState.QUEUED]
    assert [fate(job) for job in (begun, waits)] == [("", 2, 1), ("", 1, 0)]


def test_a_replaced_child_costs_its_jobs_nothing() -> None:
    jobs = running(2)
    InFlightJobs().requeue(jobs)
    assert [(job.state, fate(job)) for job in jobs] == [(JobState.QUEUED, ("", 1, 0))] * 2


def test_no_other_module_changes_a_jobs_fields() -> None:
    fields = {
        "state",
        "flags",
        "error_code",
        "execution",
        "attempt",
        "crashes",
        "device_faults",
        "unconfirmed",
        "order_key",
        "next_attempt",
    }
    folder = Path(job_module.__file__).parent
    wrong = [
        f"{path.name}:{node.lineno} {ast.unparse(node)}"
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in fields
        if path.name != "job.py" and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]
    assert wrong == []
