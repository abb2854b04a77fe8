"""Promises of the sink's store, which decides the winner, on Postgres and in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors.sink_store import Fenced, LogPosition, ProgressRow, Unstorable
from connectors.views import Receipt
from schemas.states import State
from streams.sink.event import TerminalResult
from tests.harness.events import JOB, REQUESTS, RESULTS
from tests.harness.stores import CALLBACK, GROUP, Stores, ended, new_job, requested, retrying, step

LATER = datetime(2100, 1, 1, tzinfo=UTC)


# ── which result wins ──


def test_the_first_end_of_a_run_wins_and_the_second_is_superseded(stores: Stores) -> None:
    job = new_job()
    assert stores.store(requested(job), ended(job, 1)).losers == frozenset()
    assert stores.store(ended(job, 2, state=State.FAILED)).losers == {(job.bytes, 0)}
    assert stores.view(job).state == "COMPLETED"
    assert stores.kinds(job) == [("request", 0), ("result", 1), ("superseded", 2)]
    first, second = LogPosition(RESULTS, 0, 1), LogPosition(RESULTS, 0, 2)
    assert stores.sink.winners({first: (job.bytes, 0), second: (job.bytes, 0)}) == {first}


def test_each_run_of_a_job_has_an_outcome_of_its_own_and_the_highest_is_current(stores: Stores) -> None:
    job = new_job()
    stores.store(requested(job), ended(job, 1, state=State.FAILED))
    stores.store(requested(job, 5, run=1), ended(job, 6, run=1))
    assert (stores.view(job).run, stores.view(job).state) == (1, "COMPLETED")
    assert stores.view(job, 0).state == "FAILED"


def test_a_result_may_come_before_its_request(stores: Stores) -> None:
    job = new_job()
    stores.store(ended(job, 1))
    stores.store(requested(job, 0))
    assert stores.view(job).state == "COMPLETED"
    assert stores.kinds(job) == [("request", 0), ("result", 1)]


def test_another_input_under_the_same_id_changes_nothing_and_is_reported(stores: Stores) -> None:
    job = new_job()
    stores.store(requested(job))
    assert stores.store(ended(job, 1, input_sha256="b")).losers == {(job.bytes, 0)}
    view = stores.view(job)
    assert (view.state, view.input_sha256) == ("PENDING", "a")
    assert view.history[1].reason == "another input under the same job id"
    stores.store(ended(job, 2, input_sha256=""))  # the hash of a result that could not be decoded matches any
    assert stores.view(job).state == "COMPLETED"


def test_the_same_record_twice_leaves_one_history_entry(stores: Stores) -> None:
    job = new_job()
    stores.store(requested(job), ended(job, 1))
    stores.store(requested(job), ended(job, 1))
    assert stores.kinds(job) == [("request", 0), ("result", 1)]


def test_an_outcome_can_be_read_again_in_full(stores: Stores) -> None:
    job, at = new_job(), datetime(2026, 1, 1, 12, tzinfo=UTC)
    end = TerminalResult(
        State.FAILED,
        {"code": "INVALID_INPUT", "message": "no \0 good", "fingerprint": "f" * 16},
        b'{"a": [1, 2.5, null]}',
        b'[{"uri": "file:///x", "sha256": "00", "size": 3, "content_type": "text/plain"}]',
        "cpu",
        "torch finds no CUDA device",
        "7",
        "ab" * 32,
        "sluice-0.1.0+00ff",
        "0192:0",
        at,
        at + timedelta(seconds=1),
        2.5,
    )
    stored = stores.store(requested(job, header={"labels": {"who": "me"}}), ended(job, 1)._replace(terminal=end))
    view = stores.view(job)
    assert view.error is not None
    assert (view.error.code, view.error.message) == ("INVALID_INPUT", "no \ufffd good")
    assert view.output == {"a": [1, 2.5, None]}
    assert [(ref.uri, ref.size) for ref in view.refs] == [("file:///x", 3)]
    assert (view.device, view.device_note) == ("cpu", "torch finds no CUDA device")
    assert view.receipt == Receipt("a", "7", "ab" * 32, "sluice-0.1.0+00ff", "cpu", "0192:0")
    assert (view.model_version, view.run_ms, view.labels) == ("7", 2.5, {"who": "me"})
    assert (view.started_at, view.finished_at) == (at, at + timedelta(seconds=1))
    assert view.decided_at == stored.decided_at
    assert view.request is not None
    assert view.result is not None
    assert (view.request.topic, view.request.offset) == ("requests.echo", 0)
    assert (view.result.topic, view.result.offset) == ("results.echo", 1)
    assert len(view.result.topic_id) == 22


def test_a_receipt_names_the_input_of_its_own_run(stores: Stores) -> None:
    job = new_job()
    stores.store(requested(job, input_sha256=""))
    assert stores.view(job).receipt is None, "before its end nothing made an outcome"
    stores.store(ended(job, 1, run=1, input_sha256="b", header={"replay_id": "r"}))
    view = stores.view(job)
    assert view.receipt is not None
    assert (view.run, view.receipt.input_sha256, view.receipt.code_version) == (1, "b", None)


# ── forward only ──


def test_a_late_request_moves_no_run_back(stores: Stores) -> None:
    job = new_job()
    stores.store(requested(job), retrying(job, 1, in_ms=60_000))
    stores.store(requested(job, 2))
    assert stores.view(job).state == "RETRYING"
    stores.store(requested(job, 3, attempt=2))
    assert (stores.view(job).state, stores.view(job).attempt) == ("PENDING", 2)
    stores.store(retrying(job, 4, in_ms=60_000))
    assert stores.kinds(job)[-1] == ("superseded", 4)


def test_a_run_waits_for_the_earlier_of_its_retry_and_its_deadline(stores: Stores) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=1)
    retry, deadline = new_job(), new_job()
    stores.store(requested(retry, header={"deadline": LATER}), retrying(retry, 1, in_ms=5, header={"deadline": LATER}))
    stores.store(requested(deadline), retrying(deadline, 1, in_ms=3_600_000, header={"deadline": soon}))
    assert stores.view(retry).due_kind == "retry"
    assert (stores.view(deadline).due_kind, stores.view(deadline).due_at) == ("deadline", soon)


def test_progress_moves_a_run_forward_and_never_back(stores: Stores) -> None:
    job, stranger = new_job(), new_job()
    stores.store(requested(job))

    def progress(percent: float, *, sequence: int, attempt: int = 1, who: bytes = job.bytes) -> ProgressRow:
        return ProgressRow(who, 0, attempt, 1, sequence, "w1", "run", percent, f"{percent:.0f} of 100")

    known = stores.sink.mark_progress([progress(50.0, sequence=2), progress(1.0, sequence=1, who=stranger.bytes)])
    assert known == {(job.bytes, 0)}
    view = stores.view(job)
    assert (view.state, view.stage, view.percent, view.owner) == ("PROCESSING", "run", 50.0, "w1")
    assert view.message == "50 of 100"
    stores.sink.mark_progress([progress(25.0, sequence=1)])
    assert stores.view(job).percent == 50.0
    stores.store(ended(job, 1))
    stores.sink.mark_progress([progress(75.0, sequence=3)])
    assert (stores.view(job).state, stores.view(job).percent) == ("COMPLETED", 50.0)


# ── offsets ──


def test_a_replaced_owner_stores_nothing_more(stores: Stores) -> None:
    job, old = new_job(), stores.claim()
    new = stores.another_sink().claim(GROUP, {(RESULTS, 0): 0})[RESULTS, 0]
    with pytest.raises(Fenced):
        stores.store(requested(job), ended(job, 1), offsets=[step(old, 5)])
    assert stores.jobs.job(str(job)) is None
    stores.store(requested(job), ended(job, 1), offsets=[step(new, 5, 2)])
    again = stores.claim()
    assert (again.next_offset, again.published, again.epoch) == (5, 2, new.epoch + 1)


def test_an_offset_moves_only_from_where_its_owner_left_it(stores: Stores) -> None:
    mine = stores.claim(7)
    assert (mine.next_offset, mine.published, mine.epoch) == (7, 7, 1)
    with pytest.raises(Fenced):
        stores.store(offsets=[step(mine, 9)._replace(expected=6)])
    stores.store(offsets=[step(mine, 9)])
    stores.store(offsets=[step(mine, 9)._replace(expected=9)])
    with pytest.raises(Fenced):
        stores.store(offsets=[step(mine, 10)])


def test_a_partition_without_a_claim_can_not_move(stores: Stores) -> None:
    mine = stores.claim()
    with pytest.raises(Fenced):
        stores.store(offsets=[step(mine, 1)._replace(topic_id=REQUESTS)])


def test_a_batch_with_a_value_that_can_not_be_stored_changes_nothing(stores: Stores) -> None:
    good, bad, mine = new_job(), new_job(), stores.claim()
    for wrong in (
        ended(bad, 2, attempt=2**40),
        ended(bad, 2)._replace(terminal=TerminalResult(State.COMPLETED, output=b"not json")),
    ):
        with pytest.raises(Unstorable):
            stores.store(requested(good), ended(good, 1), wrong, offsets=[step(mine, 3)])
    assert stores.jobs.job(str(good)) is None
    assert stores.claim().next_offset == 0


# ── callbacks ──


def test_a_winner_has_one_delivery_and_a_loser_none(stores: Stores) -> None:
    job = new_job()
    stores.store(requested(job, header=CALLBACK), ended(job, 1, header=CALLBACK))
    stores.store(ended(job, 2, header=CALLBACK, state=State.FAILED))
    [delivery] = stores.view(job).deliveries
    assert (delivery.kind, delivery.destination, delivery.state) == ("outcome", CALLBACK["callback_url"], "pending")


def test_a_shadow_run_has_no_delivery(stores: Stores) -> None:
    job = new_job()
    stores.store(ended(job, 1, header={**CALLBACK, "mode": "shadow"}))
    assert stores.view(job).deliveries == []


def test_an_undecodable_result_is_delivered_to_the_callback_of_its_request(stores: Stores) -> None:
    job = new_job()
    stores.store(requested(job, header=CALLBACK))
    stores.store(ended(job, 1, input_sha256="", state=State.FAILED))
    assert [delivery.destination for delivery in stores.view(job).deliveries] == [CALLBACK["callback_url"]]


def test_an_unknown_job_is_none(stores: Stores) -> None:
    assert stores.jobs.job(str(JOB)) is None
    assert stores.jobs.job("no id at all") is None
