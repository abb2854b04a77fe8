"""A shadow run is stored under its own number and changes nothing else: not the job, no callback, no count. Its outcome is
paired with the one that counts."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from connectors.batch_store import BatchRow
from connectors.job_store import JobFilter
from connectors.replay_store import NewReplay, Replay, ReplayFilter
from connectors.shadow_store import RunEnding
from connectors.sink_store import ProgressRow
from schemas.ids import new_id
from schemas.states import State
from streams.sink.event import TerminalResult
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
    assert stores.jobs.find(JobFilter(state="PENDING")) == []
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


# ── the pairs that a report compares ──


def shadow_replay(stores: Stores, *jobs: UUID) -> str:
    new = NewReplay(new_id(), "me", "why not", mode="shadow", to_version="2")
    replay: Replay = stores.replays.start(new, ReplayFilter(job_ids=[str(job) for job in jobs]))
    return replay.replay_id


def test_each_job_is_paired_with_its_shadow_run(stores: Stores) -> None:
    job, other = completed(stores, case_id="c1"), completed(stores)
    replay_id = shadow_replay(stores, job, other)
    output = b'{"a": [1, null, {"b": "\xc3\xbc"}]}'
    refs = b'[{"uri": "file:///a", "sha256": "ab", "size": 1, "content_type": "x/y"}]'
    error = {"code": "MODEL_NOT_FOUND", "message": "m", "fingerprint": "f"}
    result = TerminalResult(State.COMPLETED, None, output, refs, "cpu", None, "2", run_ms=12.5)
    failed = TerminalResult(State.FAILED, error)
    stores.store(ended(job, 3, run=1, header=SHADOW)._replace(terminal=result))
    stores.store(ended(other, 4, run=1, header=SHADOW)._replace(terminal=failed))
    found = {pair.job_id: pair for pair in stores.shadow.pairs(replay_id, 0, 10)}
    one, two = found[str(job)], found[str(other)]
    assert (one.case_id, one.processor, one.from_run, one.run, one.state) == ("c1", "echo", 0, 1, "waiting")
    assert one.before == RunEnding(0, "COMPLETED", None, None, None, None, None, ())
    after = RunEnding(1, "COMPLETED", None, "2", "cpu", 12.5, {"a": [1, None, {"b": "ü"}]}, json.loads(refs))
    assert one.after == after
    assert two.after is not None
    assert two.after.shown == "FAILED MODEL_NOT_FOUND"


def test_pairs_are_read_in_pages_and_open_runs_have_no_ending(stores: Stores) -> None:
    replay_id = shadow_replay(stores, *(completed(stores) for _ in range(3)))
    first = stores.shadow.pairs(replay_id, 0, 2)
    second = stores.shadow.pairs(replay_id, first[-1].n, 2)
    assert [pair.n for pair in (*first, *second)] == [1, 2, 3]
    assert all(pair.before is not None and pair.after is None for pair in (*first, *second))
    assert stores.shadow.pairs(replay_id, 3, 2) == []
    assert stores.shadow.pairs(new_id(), 0, 2) == []


def test_shadow_runs_use_up_no_replays_of_a_job(stores: Stores) -> None:
    job = completed(stores)
    for _ in range(3):
        shadow_replay(stores, job)
    new = NewReplay(new_id(), "me", "why not", limit=1)
    replay = stores.replays.start(new, ReplayFilter(job_ids=[str(job)]))
    assert (replay.parked, replay.waiting) == (0, 1)
