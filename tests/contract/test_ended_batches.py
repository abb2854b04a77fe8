"""A batch ends once, when all its jobs have ended, with one final callback."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from connectors.batch_store import BatchRow, BatchView
from connectors.delivery_store import TryRow
from schemas.ids import new_id
from schemas.states import State
from streams import wiring
from tests.harness.stores import Stores, ended, new_job, requested

ME = b"m" * 16
AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an open batch due again at once."""
    monkeypatch.setattr("connectors.batch_store.LEAST_WAIT_S", 0.0)
    monkeypatch.setattr("connectors.batch_store.LONGEST_WAIT_S", 0.0)


def accept(stores: Stores, total: int, callback_url: str | None = "http://backend:1/batch") -> str:
    batch_id = new_id()
    with wiring.batch_store(stores.settings) as batches:
        batches.accept(BatchRow(batch_id, "one", "echo", total, "sha", callback_url, "shape"), [])
    return batch_id


def store(stores: Stores, batch_id: str, state: State | None = State.COMPLETED, tenant: str = "one") -> UUID:
    """Store a job of the batch; None: it has not ended."""
    job, head = new_job(), {"batch_id": batch_id, "tenant": tenant}
    stores.store(requested(job, 0, header=head))
    if state is not None:
        stores.store(ended(job, 1, header=head, state=state))
    return job


def test_a_batch_ends_once_all_its_jobs_have_ended_with_one_callback(stores: Stores) -> None:
    batch_id = accept(stores, 3)
    store(stores, batch_id)
    store(stores, batch_id, State.FAILED)
    open_job = store(stores, batch_id, None)
    assert stores.due.end_batches(10) == (1, 0)
    assert stores.deliveries.claim(ME, 10) == []
    stores.store(ended(open_job, 2, header={"batch_id": batch_id, "tenant": "one"}))
    assert stores.due.end_batches(10) == (1, 1)
    assert stores.due.end_batches(10) == (0, 0)
    stores.deliveries.renew(ME, 60.0)
    [one] = stores.deliveries.claim(ME, 10)
    assert (one.kind, one.delivery_id, one.destination) == ("batch", UUID(batch_id).bytes, "http://backend:1/batch")
    assert (one.row["tenant"], one.row["callback_profile"]) == ("one", "shape")
    data = one.row["body"]
    assert (data["batch_id"], data["processor"], data["total"], data["ended"]) == (batch_id, "echo", 3, 3)
    assert (data["counts"], data["done"]) == ({"COMPLETED": 2, "FAILED": 1}, True)


def test_jobs_that_the_sink_has_not_read_keep_a_batch_open_and_those_of_others_do_not_count(stores: Stores) -> None:
    batch_id = accept(stores, 2)
    store(stores, batch_id)
    store(stores, batch_id, tenant="other")
    assert stores.due.end_batches(10) == (1, 0)


def test_a_batch_without_a_callback_url_ends_without_a_callback(stores: Stores) -> None:
    batch_id = accept(stores, 1, None)
    store(stores, batch_id)
    assert stores.due.end_batches(10) == (1, 1)
    assert stores.deliveries.claim(ME, 10) == []
    with wiring.batch_store(stores.settings) as batches:
        found = batches.batch(batch_id)
    assert found is not None
    assert found.ended_at is not None


def test_a_batch_is_deleted_with_its_callback_once_that_has_ended(stores: Stores) -> None:
    batch_id = accept(stores, 1)
    store(stores, batch_id)
    stores.due.end_batches(10)
    stores.due.prune(timedelta(0), 10)
    [one] = stores.deliveries.claim(ME, 10)
    stores.deliveries.record([TryRow(one.delivery_id, "delivered", 0, True, 200, 1.0, None)])
    stores.due.prune(timedelta(0), 10)
    with wiring.batch_store(stores.settings) as batches, wiring.delivery_admin(stores.settings) as deliveries:
        assert batches.batch(batch_id) is None
        assert deliveries.delivery(batch_id) is None


@pytest.mark.parametrize(
    ("ended_jobs", "after_s", "wait_s"), [(0, 10, 10.0), (50, 10, 5.0), (99, 10, 0.2), (100, 10, None)]
)
def test_a_look_comes_sooner_the_nearer_a_batch_is_to_its_end(
    monkeypatch: pytest.MonkeyPatch, ended_jobs: int, after_s: int, wait_s: float | None
) -> None:
    monkeypatch.undo()
    names = ("batch", "one", "echo", 100, "sha", None, None)
    batch = BatchView(*names, AT, None, None, {"COMPLETED": ended_jobs, "PENDING": 100 - ended_jobs})
    assert batch.look_again_in_s(AT + timedelta(seconds=after_s)) == wait_s
