"""A shadow run is stored under its own number and changes nothing else: not the job, no callback, no count."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from connectors.batch_store import BatchRow
from connectors.job_store import JobFilter
from connectors.sink_store import ProgressRow
from schemas.ids import new_id
from schemas.states import State
from streams.sink.rows import delivery_id
from tests.harness.stores import Stores, ended, new_job, requested

LIVE = {"callback_url": "http://backend:1/done", "callback_profile": "shape", "tenant": "one"}
SHADOW = {**LIVE, "mode": "shadow", "lane": "bulk", "model_version": "2"}


def completed(stores: Stores, **header: Any) -> UUID:
    """Store a live run that has completed."""
    job = new_job()
    stores.store(requested(job, 0, header=LIVE | header), progress_rule=lambda *_: True)
    stores.store(ended(job, 1, header=LIVE | header))
    return job


def test_the_live_run_stays_the_current_one(stores: Stores) -> None:
    job = completed(stores)
    stores.store(requested(job, 2, run=1, header=SHADOW))
    assert (stores.view(job).run, stores.view(job, 1).state) == (0, "PENDING")
    stores.store(ended(job, 3, run=1, header=SHADOW, state=State.FAILED))
    assert (stores.view(job).run, stores.view(job).state) == (0, "COMPLETED")
    assert (stores.view(job, 1).state, stores.view(job, 1).mode) == ("FAILED", "shadow")


def test_a_shadow_run_whose_result_comes_first_stays_one(stores: Stores) -> None:
    job = completed(stores)
    stores.store(ended(job, 3, run=1, header=SHADOW), requested(job, 2, run=1, header=SHADOW))
    assert (stores.view(job).run, stores.view(job, 1).state) == (0, "COMPLETED")


def test_a_replay_after_a_shadow_run_becomes_the_current_one(stores: Stores) -> None:
    job = completed(stores)
    stores.store(ended(job, 2, run=1, header=SHADOW))
    stores.store(ended(job, 3, run=2, header={**LIVE, "mode": "replay"}))
    assert stores.view(job).run == 2


@pytest.mark.parametrize("readable", [True, False])
def test_a_shadow_run_makes_no_delivery(stores: Stores, readable: bool) -> None:
    """A result that can't be decoded is delivered to the job's callback; but not that of a shadow run."""
    job = completed(stores)
    before = stores.view(job).deliveries
    more = {} if readable else {"input_sha256": ""}
    stores.store(
        requested(job, 2, run=1, header=SHADOW), ended(job, 3, run=1, header=SHADOW, state=State.FAILED, **more)
    )
    assert [(each.kind, each.delivery_id) for each in stores.view(job).deliveries] == [
        (each.kind, each.delivery_id) for each in before
    ]


def test_progress_of_a_shadow_run_is_stored_and_not_called_back(stores: Stores) -> None:
    job = completed(stores)
    before = stores.view(job).deliveries
    stores.store(requested(job, 2, run=1, header=SHADOW))
    stores.sink.mark_progress([progress(job, run=1)])
    assert (stores.view(job, 1).state, stores.view(job, 1).percent) == ("PROCESSING", 50.0)
    assert stores.view(job).deliveries == before


def test_progress_of_a_live_run_beside_it_is_called_back(stores: Stores) -> None:
    job = new_job()
    stores.store(requested(job, 0, header=LIVE), progress_rule=lambda *_: True)
    stores.store(requested(job, 1, run=1, header=SHADOW))
    stores.sink.mark_progress([progress(job, run=1), progress(job, run=0)])
    assert [each.kind for each in stores.view(job).deliveries] == ["progress"]


def test_lists_and_counts_show_the_live_run_only(stores: Stores) -> None:
    job = completed(stores)
    stores.store(requested(job, 2, run=1, header=SHADOW))
    assert [(row.job_id, row.run) for row in stores.jobs.find()] == [(str(job), 0)]
    assert stores.jobs.find(state="PENDING") == []
    assert [status.run for status in stores.jobs.statuses(JobFilter(tenant="one"))] == [0]
    assert [status.run for status in stores.jobs.statuses_of([str(job)])] == [0]
    assert stores.jobs.counts() == {"COMPLETED": 1}
    assert stores.jobs.status(str(job)).state == "COMPLETED"


def test_an_open_shadow_run_uses_up_no_quota(stores: Stores) -> None:
    job = completed(stores)
    stores.store(requested(job, 2, run=1, header=SHADOW))
    assert stores.jobs.backlog().open == []


def test_a_batch_does_not_wait_for_a_shadow_run(stores: Stores) -> None:
    batch_id = new_id()
    stores.batches.accept(BatchRow(batch_id, "one", "echo", 1, "sha", None, None), [])
    job = completed(stores, batch_id=batch_id)
    stores.store(requested(job, 2, run=1, header={**SHADOW, "batch_id": batch_id}))
    assert stores.jobs.counts(batch_id=batch_id) == {"COMPLETED": 1}
    assert stores.batches.open_runs(batch_id, "one") == []
    assert stores.due.end_batches(10) == (1, 1)
    stores.store(ended(job, 3, run=1, header={**SHADOW, "batch_id": batch_id}, state=State.FAILED))
    view = stores.batches.batch(batch_id)
    assert view is not None
    assert view.counts == {"COMPLETED": 1}


def progress(job: UUID, run: int) -> ProgressRow:
    id_ = delivery_id(job.bytes, run, "progress")
    return ProgressRow(job.bytes, run, 1, 1, 1, "w", "stage", 50.0, "text", id_)
