"""Promises of the lists and counts of jobs, on Postgres and in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from connectors.job_store import JobFilter
from schemas.states import State
from tests.harness.events import AT
from tests.harness.stores import Stores, ended, new_job, requested


@pytest.fixture
def listed(stores: Stores) -> list[UUID]:
    """Three jobs, the oldest first: completed, failed, waiting."""
    jobs = [new_job() for _ in range(3)]
    times = [AT + timedelta(minutes=n) for n in range(3)]
    heads: list[dict[str, Any]] = [{"created_at": at, "batch_id": "b" if n else None} for n, at in enumerate(times)]
    end = ended(jobs[0], 2, header=heads[0])
    assert end.terminal is not None
    completed = end._replace(terminal=end.terminal._replace(model_version="2"))
    stores.store(requested(jobs[0], 1, header=heads[0]), completed)
    end = ended(jobs[1], 4, header=heads[1], state=State.FAILED)
    assert end.terminal is not None
    failed = end._replace(
        terminal=end.terminal._replace(error={"code": "INVALID_INPUT", "message": "no", "fingerprint": "f1"})
    )
    stores.store(requested(jobs[1], 3, header=heads[1]), failed)
    stores.store(requested(jobs[2], 5, header=heads[2]))
    return jobs


def test_jobs_are_listed_newest_first_page_by_page_and_by_state(stores: Stores, listed: list[UUID]) -> None:
    names = [str(job) for job in reversed(listed)]
    first = stores.jobs.find(limit=2)
    assert [row.job_id for row in first] == names[:2]
    assert (first[1].state, first[1].error_code) == ("FAILED", "INVALID_INPUT")
    rest = stores.jobs.find(after=(first[-1].requested_at, first[-1].job_id))
    assert [row.job_id for row in rest] == names[2:]
    assert [row.job_id for row in stores.jobs.find(JobFilter(state="FAILED"))] == [names[1]]
    assert [row.state for row in stores.jobs.find(JobFilter(state="COMPLETED", processor="echo"))] == ["COMPLETED"]
    assert stores.jobs.find(JobFilter(processor="embed")) == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"error_code": "INVALID_INPUT"}, [1]),
        ({"error_code": "TIMEOUT_ERROR"}, []),
        ({"fingerprint": "f1"}, [1]),
        ({"model_version": "2"}, [0]),
        ({"batch_id": "b"}, [1, 2]),
        ({"batch_id": "b", "state": "PENDING"}, [2]),
        ({"since": AT + timedelta(minutes=1)}, [1, 2]),
        ({"until": AT + timedelta(minutes=1)}, [0]),
        ({"since": AT + timedelta(minutes=1), "until": AT + timedelta(minutes=2)}, [1]),
    ],
)
def test_jobs_are_listed_by_any_conditions(
    stores: Stores, listed: list[UUID], wanted: dict[str, Any], found: list[int]
) -> None:
    names = [str(listed[n]) for n in reversed(found)]
    assert [row.job_id for row in stores.jobs.find(JobFilter(**wanted))] == names
    assert [row.job_id for row in stores.jobs.statuses(JobFilter(**wanted))] == names


def test_jobs_are_counted_by_error_state_and_processor_with_an_example(stores: Stores, listed: list[UUID]) -> None:
    [error] = stores.jobs.groups(JobFilter(), "error")
    assert (error.processor, error.error_code, error.fingerprint, error.error_message) == (
        "echo",
        "INVALID_INPUT",
        "f1",
        "no",
    )
    assert (error.jobs, error.example, error.oldest, error.newest) == (
        1,
        str(listed[1]),
        *[AT + timedelta(minutes=1)] * 2,
    )
    states = stores.jobs.groups(JobFilter(), "state")
    assert [(group.state, group.jobs) for group in states] == [("COMPLETED", 1), ("FAILED", 1), ("PENDING", 1)]
    [processor] = stores.jobs.groups(JobFilter(batch_id="b"), "processor")
    assert (processor.processor, processor.jobs, processor.state) == ("echo", 2, None)
    assert len(stores.jobs.groups(JobFilter(), "state", limit=1)) == 1


def test_jobs_are_counted_by_state_and_by_batch(stores: Stores, listed: list[UUID]) -> None:
    assert stores.jobs.counts() == {"COMPLETED": 1, "FAILED": 1, "PENDING": 1}
    assert stores.jobs.counts(batch_id="b") == {"FAILED": 1, "PENDING": 1}
