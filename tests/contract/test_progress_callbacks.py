"""Progress callbacks in the stores: in order, at most one in flight per run, none beside or after the run's end."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from connectors.delivery_store import ClaimedDelivery, ProgressTry, TryRow
from connectors.sink_store import ProgressRow
from streams.sink.event import Event
from streams.sink.rows import delivery_id, progress_end
from tests.harness.stores import Stores, ended, new_job, requested

ME, OTHER = b"m" * 16, b"o" * 16
HEAD = {"callback_url": "http://backend:1/cb", "callback_profile": "shape"}


@pytest.fixture(autouse=True)
def _alive(stores: Stores) -> None:
    for notifier in (ME, OTHER):
        stores.deliveries.renew(notifier, 60.0)


def begin(stores: Stores, *, progress: bool = True) -> UUID:
    job = new_job()
    stores.store(requested(job, 0, header=HEAD), progress_rule=lambda *_: progress)
    return job


def report(stores: Stores, job: UUID, percent: float, execution: int = 1) -> None:
    id_ = delivery_id(job.bytes, 0, "progress")
    stores.sink.mark_progress(
        [ProgressRow(job.bytes, 0, 1, execution, int(percent), "w", "stage", percent, "text", id_)]
    )


def end(stores: Stores, job: UUID, notifier: bytes | None = ME, offset: int = 1) -> set[bytes]:
    """End the run as the sink does; return the deliveries that the notifier may send at once."""
    final: Event = ended(job, offset, header=HEAD)
    stored = stores.store(final, notifier=notifier, progress_rule=lambda *_: True)
    assert stored.ended_after_progress == {(job.bytes, 0)}
    return stores.sink.end_progress([progress_end(*run, notifier) for run in stored.ended_after_progress])


def claim(stores: Stores, notifier: bytes = ME) -> list[ClaimedDelivery]:
    claimed: list[ClaimedDelivery] = stores.deliveries.claim(notifier, 10)
    return claimed


def record(stores: Stores, one: ClaimedDelivery, state: str, notifier: bytes = ME, **more: Any) -> None:
    status = 200 if state == "delivered" else 503
    row = ProgressTry(one.delivery_id, notifier, one.sequence, state, 0, True, status, 1.0, None)
    stores.deliveries.record_progress([row._replace(**more)])


def percents(claimed: list[ClaimedDelivery]) -> list[float]:
    return [one.row["percent"] for one in claimed]


def states(stores: Stores, job: UUID) -> dict[str, str]:
    return {one.kind: one.state for one in stores.view(job).deliveries}


def test_the_newest_progress_is_claimed_and_older_progress_is_never_queued(stores: Stores) -> None:
    job = begin(stores)
    for percent in (10, 20, 30):
        report(stores, job, percent)
    [one] = claim(stores)
    assert (one.kind, one.row["percent"], one.row["stage"], one.row["message"]) == ("progress", 30, "stage", "text")
    assert (one.row["processor"], one.row["status"], one.row["callback_profile"]) == ("echo", None, "shape")


def test_only_one_progress_of_a_run_is_in_flight_and_newer_progress_follows_it(stores: Stores) -> None:
    job = begin(stores)
    report(stores, job, 10)
    [one] = claim(stores)
    report(stores, job, 20)
    assert claim(stores) == claim(stores, OTHER) == []
    record(stores, one, "delivered")
    [two] = claim(stores, OTHER)
    assert (two.row["percent"], two.sequence > one.sequence) == (20, True)
    record(stores, two, "delivered", OTHER)
    assert claim(stores) == []
    report(stores, job, 30)
    assert percents(claim(stores)) == [30]


def test_late_progress_of_an_older_execution_is_not_sent(stores: Stores) -> None:
    job = begin(stores)
    report(stores, job, 10, execution=2)
    [one] = claim(stores)
    record(stores, one, "delivered")
    report(stores, job, 90, execution=1)
    assert claim(stores) == []


def test_a_failed_progress_is_tried_again_with_what_is_newest_then(stores: Stores) -> None:
    job = begin(stores)
    report(stores, job, 10)
    [one] = claim(stores)
    record(stores, one, "pending")
    report(stores, job, 20)
    assert percents(claim(stores)) == [20]
    [view] = stores.view(job).deliveries
    assert [(line.n, line.status) for line in view.tries] == [(1, 503)]


def test_a_dead_notifiers_progress_is_not_claimed_while_its_try_may_be_in_flight(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = begin(stores)
    report(stores, job, 10)
    stores.deliveries.claim(ME, 10)
    stores.deliveries.retire(ME)
    assert claim(stores, OTHER) == []
    for module in ("connectors.postgres.delivery_store", "connectors.memory.delivery_store"):
        monkeypatch.setattr(f"{module}.HOLD_S", 0.0)
    job = begin(stores)
    report(stores, job, 20)
    stores.deliveries.claim(ME, 10)
    assert percents(claim(stores, OTHER)) == [20]


def test_what_a_notifier_says_of_progress_that_another_one_holds_has_no_effect(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("connectors.postgres.delivery_store", "connectors.memory.delivery_store"):
        monkeypatch.setattr(f"{module}.HOLD_S", 0.0)
    job = begin(stores)
    report(stores, job, 10)
    [one] = claim(stores)
    stores.deliveries.retire(ME)
    monkeypatch.undo()
    assert len(claim(stores, OTHER)) == 1
    record(stores, one, "delivered", ME)
    assert claim(stores, OTHER) == []
    assert states(stores, job) == {"progress": "pending"}


def test_an_end_without_a_progress_in_flight_is_sent_at_once_and_ends_the_progress(stores: Stores) -> None:
    job = begin(stores)
    report(stores, job, 10)
    assert end(stores, job) == {delivery_id(job.bytes, 0)}
    assert states(stores, job) == {"progress": "superseded", "outcome": "pending"}
    assert [one.kind for one in stores.deliveries.held(ME, 10)] == ["outcome"]
    report(stores, job, 20)
    assert claim(stores) == []


def test_an_end_waits_for_the_progress_that_is_in_flight(stores: Stores) -> None:
    job = begin(stores)
    report(stores, job, 10)
    [one] = claim(stores, OTHER)
    assert end(stores, job) == set()
    assert claim(stores) == stores.deliveries.held(ME, 10) == []
    report(stores, job, 20)
    record(stores, one, "delivered", OTHER)
    assert [one.kind for one in claim(stores)] == ["outcome"]
    assert states(stores, job) == {"progress": "delivered", "outcome": "pending"}


def test_a_failed_progress_is_not_tried_again_once_the_run_has_ended(stores: Stores) -> None:
    job = begin(stores)
    report(stores, job, 10)
    [one] = claim(stores)
    end(stores, job)
    record(stores, one, "pending")
    assert [one.kind for one in claim(stores)] == ["outcome"]
    assert states(stores, job) == {"progress": "superseded", "outcome": "pending"}


def test_an_end_passes_a_progress_whose_holder_is_gone_after_the_longest_try(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("connectors.postgres.delivery_store", "connectors.memory.delivery_store"):
        monkeypatch.setattr(f"{module}.HOLD_S", 0.0)
    job = begin(stores)
    report(stores, job, 10)
    stores.deliveries.claim(OTHER, 10)
    assert end(stores, job) == {delivery_id(job.bytes, 0)}


def test_a_sink_that_dies_before_it_ends_the_progress_loses_nothing(stores: Stores) -> None:
    job = begin(stores)
    report(stores, job, 10)
    stores.store(ended(job, 1, header=HEAD), notifier=ME, progress_rule=lambda *_: True)  # and no more of that sink
    [progress] = claim(stores)
    assert (progress.kind, progress.row["status"]) == ("progress", "COMPLETED")
    record(stores, progress, "superseded", counts=False)
    assert [one.kind for one in claim(stores)] == ["outcome"]


def test_a_job_that_wants_no_progress_has_no_such_callbacks_and_is_handed_off(stores: Stores) -> None:
    job = begin(stores, progress=False)
    report(stores, job, 10)
    assert claim(stores) == []
    stored = stores.store(ended(job, 1, header=HEAD), notifier=ME)
    assert stored.ended_after_progress == set()
    [one] = stores.deliveries.held(ME, 10)
    assert one.row["callback_profile"] == "shape"


def test_a_job_that_ends_before_any_progress_has_one_callback(stores: Stores) -> None:
    job = begin(stores)
    assert end(stores, job, None) == {delivery_id(job.bytes, 0)}
    assert [one.kind for one in claim(stores)] == ["outcome"]
    stores.deliveries.record([TryRow(delivery_id(job.bytes, 0), "delivered", 0, True, 200, 1.0, None)])
    assert claim(stores) == []
