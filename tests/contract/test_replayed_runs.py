"""Runs that replays have made, as the sink stores them, on both stores."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from connectors.replay_store import DEAD_LETTER, ReplayFilter, ReplaySource
from connectors.sink_store import LeaseRow, LogPosition, ProgressRow
from schemas.ids import new_id
from streams.sink.fold import fold
from streams.sink.rows import delivery_id, history_rows, run_rows
from tests.harness.events import REQUESTS
from tests.harness.replay_rows import failed, mark, start
from tests.harness.stores import Stores, ended, new_job, requested


def test_only_a_run_that_a_replay_made_may_have_another_input(stores: Stores) -> None:
    """The sink's rule for edited inputs: the replay must know the run."""
    job = failed(stores)
    replay = start(stores)
    mark(stores, replay, 1)
    named = {"replay_id": replay.replay_id}

    def store(run: int, offset: int, **header: Any) -> bool:
        end = ended(job, offset, run=run, input_sha256="edited", header=header)
        return not stores.store(requested(job, offset - 1, run=run, input_sha256="edited", header=header), end).losers

    assert not store(1, 11)
    assert not store(1, 13, replay_id=new_id())
    assert not store(1, 15, replay_id="no id")
    assert not store(2, 17, **named)
    assert store(1, 19, **named)
    assert (stores.view(job).run, stores.view(job).state, stores.view(job).input_sha256) == (1, "COMPLETED", "a")
    assert not store(0, 21, **named)


@pytest.mark.parametrize(("callbacks", "calls"), [("usual", 1), ("none", 0), ("http://b.example/", 0)])
def test_progress_is_reported_to_the_jobs_own_address_or_not_at_all(stores: Stores, callbacks: str, calls: int) -> None:
    job, head = new_job(), {"callback_url": "http://a.example/"}
    always: dict[str, Any] = {"progress_rule": lambda *_: True}
    stores.store(requested(job, 0, header=head), ended(job, 1, header=head), **always)
    replay = start(stores, ReplayFilter(job_ids=[str(job)]), callbacks=callbacks)
    mark(stores, replay, 1)
    stores.store(requested(job, 2, run=1, header={"mode": "replay", "replay_id": replay.replay_id}))
    id_ = delivery_id(job.bytes, 1, "progress")
    stores.sink.mark_progress([ProgressRow(job.bytes, 1, 1, 1, 1, "w", "s", 1.0, "", id_)])
    assert [one.kind for one in stores.view(job, 1).deliveries].count("progress") == calls


@pytest.mark.parametrize("known", [True, False])
def test_an_edited_run_of_a_leased_job_can_be_claimed_if_a_replay_has_made_it(stores: Stores, known: bool) -> None:
    job = failed(stores)
    replay = start(stores)
    mark(stores, replay, 1)
    named = UUID(replay.replay_id if known else new_id())
    header = {"mode": "replay", "lane": "bulk", "replay_id": str(named)}
    folds, _ = fold([requested(job, 2, run=1, input_sha256="edited", header=header)])
    request = ("bulk", b"k", b"edited", b"[]", REQUESTS, 0, 2, named.bytes)
    lease = LeaseRow(job.bytes, 1, "requested", 1, "edited", "echo", *request)
    stores.sink.store(run_rows(folds, None), history_rows(folds), (), [lease])
    claimed = stores.lease_store().claim("echo", "w", 1, 60.0)
    assert [(grant.job_id, grant.run, grant.value) for grant in claimed] == [(str(job), 1, b"edited")] * known


def test_a_due_row_knows_the_fields_of_its_job(stores: Stores) -> None:
    job: dict[str, Any] = {
        "tenant": "clinic",
        "case_id": "c7",
        "external_id": "E1",
        "batch_id": "b",
        "labels": {"a": "b"},
    }
    failed(stores, callback_url="http://backend.example/x", callback_profile="p", **job)
    start(stores, [ReplaySource(DEAD_LETTER, None, None, LogPosition(REQUESTS, 1, 9))])
    start(stores)
    unknown, stored = [row.stored for work in stores.replays.due(10) for row in work.rows]
    assert unknown is None
    assert stored is not None
    assert {name: getattr(stored, name) for name in job} == job
    assert (stored.callback_url, stored.callback_profile) == ("http://backend.example/x", "p")
