"""Promises of the stores of timekeeper, notifier, accepted requests and views, on Postgres and in memory."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from connectors.command_store import AcknowledgementRow, CancelRow, CommandRow
from connectors.delivery_store import TryRow
from connectors.due_store import DoneRow
from connectors.payload_store import Payload
from connectors.sink_store import ProgressRow
from tests.harness.events import AT
from tests.harness.stores import CALLBACK, Stores, ended, new_job, requested, retrying
from tests.harness.waiting import wait_until

PAST = datetime(2020, 1, 1, tzinfo=UTC)
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


def ended_with_delivery(stores: Stores, count: int = 1, **more: Any) -> list[UUID]:
    """Store ended jobs, each with a pending delivery."""
    jobs = [new_job() for _ in range(count)]
    for n, job in enumerate(jobs):
        stores.store(requested(job, 2 * n, header=CALLBACK), ended(job, 2 * n + 1, header=CALLBACK), **more)
    return jobs


# ── deliveries ──


def test_a_due_delivery_without_holder_is_claimed_once_with_the_contents_of_its_body(stores: Stores) -> None:
    [job] = ended_with_delivery(stores)
    me, other = uuid.uuid4().bytes, uuid.uuid4().bytes
    for notifier in (me, other):
        stores.deliveries.renew(notifier, 60.0)
    [claimed] = stores.deliveries.claim(me, 10)
    assert (claimed.destination, claimed.tries) == (CALLBACK["callback_url"], 0)
    assert (claimed.row["job_id"], claimed.row["status"], claimed.row["processor"]) == (str(job), "COMPLETED", "echo")
    assert stores.deliveries.claim(other, 10) == []
    assert [one.delivery_id for one in stores.deliveries.held(me, 10)] == [claimed.delivery_id]
    assert stores.deliveries.held(other, 10) == []


def test_a_delivery_stored_for_a_notifier_is_held_by_it_until_it_retires(stores: Stores) -> None:
    me, other = uuid.uuid4().bytes, uuid.uuid4().bytes
    stores.deliveries.renew(me, 60.0)
    stores.deliveries.renew(other, 60.0)
    ended_with_delivery(stores, notifier=me)
    assert stores.deliveries.claim(other, 10) == []
    assert len(stores.deliveries.held(me, 10)) == 1
    stores.deliveries.retire(me)
    assert len(stores.deliveries.claim(other, 10)) == 1


def test_every_try_is_stored_and_a_delivered_delivery_stays_delivered(stores: Stores) -> None:
    [job] = ended_with_delivery(stores)
    me = uuid.uuid4().bytes
    stores.deliveries.renew(me, 60.0)
    [claimed] = stores.deliveries.claim(me, 10)
    key = claimed.delivery_id
    stores.deliveries.record([TryRow(key, "pending", 0, True, 503, 1.5, "busy")])
    [again] = stores.deliveries.claim(me, 10)
    assert again.tries == 1
    stores.deliveries.record([TryRow(key, "pending", 3_600_000, False, None, 0.0, None)])  # released without a try
    assert stores.deliveries.claim(me, 10) == []
    stores.deliveries.record([TryRow(key, "delivered", 0, True, 204, 2.5, None)])
    stores.deliveries.record([TryRow(key, "pending", 0, True, 500, 1.0, "late")])
    [view] = stores.view(job).deliveries
    assert view.state == "delivered"
    assert view.due_at is None
    found_tries = [(one.n, one.status, one.ms, one.error) for one in view.tries]
    assert found_tries == [(1, 503, 1.5, "busy"), (2, 204, 2.5, None), (3, 500, 1.0, "late")]


# ── what is due ──


def test_one_timekeeper_leads_and_the_other_takes_over_when_it_disconnects(stores: Stores) -> None:
    other = stores.another_due()
    assert stores.due.lead()
    assert stores.due.lead()
    assert not other.lead()
    stores.due.close()
    wait_until(other.lead, lambda: "no leader")  # a database notices a closed connection a moment later


def test_a_retry_is_due_at_its_time_and_then_becomes_the_next_attempt(stores: Stores) -> None:
    job, patient = new_job(), new_job()
    stores.store(requested(job, 7), retrying(job, 1))
    stores.store(requested(patient, 8), retrying(patient, 2, in_ms=3_600_000))
    [due] = stores.due.due(10)
    assert (due.job_id, due.run, due.attempt, due.kind, due.processor) == (str(job), 0, 1, "retry", "echo")
    assert (due.topic, due.partition, due.offset, due.created_at) == ("requests.echo", 0, 7, AT)
    stores.due.mark_done([DoneRow(job.bytes, 0, 1, "retry", True)])
    assert (stores.view(job).state, stores.view(job).attempt, stores.view(job).due_at) == ("PENDING", 2, None)
    assert stores.due.due(10) == []


def test_a_deadline_and_a_start_are_due_for_jobs_that_no_worker_has_read(stores: Stores) -> None:
    late, early, both = new_job(), new_job(), new_job()
    stores.store(requested(late, 1, header={"deadline": PAST}))
    stores.store(requested(early, 2, header={"not_before": PAST + timedelta(days=1)}))
    stores.store(requested(both, 3, header={"not_before": PAST + timedelta(days=2), "deadline": FUTURE}))
    due = stores.due.due(10)
    expected = [(str(late), "deadline"), (str(early), "not_before"), (str(both), "not_before")]
    assert [(one.job_id, one.kind) for one in due] == expected
    assert [one.job_id for one in stores.due.due(1)] == [str(late)]
    rows = [DoneRow(job.bytes, 0, 1, "not_before", True) for job in (early, both)]
    stores.due.mark_done([*rows, DoneRow(late.bytes, 0, 1, "deadline", True)])
    assert (stores.view(early).due_kind, stores.view(both).due_kind) == (None, "deadline")
    assert (stores.view(both).attempt, stores.view(both).due_at) == (1, FUTURE)
    due_again = stores.view(late).due_at  # in case the record that ends it gets lost
    assert due_again is not None
    assert due_again > PAST


def test_failed_work_and_runs_that_changed_meanwhile_stay_unchanged(stores: Stores) -> None:
    job, gone = new_job(), new_job()
    stores.store(requested(job, 1), retrying(job, 1))
    stores.store(requested(gone, 2), retrying(gone, 2), ended(gone, 3))
    stores.due.mark_done([DoneRow(job.bytes, 0, 1, "retry", False), DoneRow(gone.bytes, 0, 1, "retry", True)])
    assert (stores.view(job).state, stores.view(job).attempt) == ("RETRYING", 1)
    assert stores.view(gone).state == "COMPLETED"
    assert stores.due.due(10) == []


def test_old_outcomes_are_pruned_unless_a_delivery_is_pending(stores: Stores) -> None:
    [kept] = ended_with_delivery(stores)
    old, waiting = new_job(), new_job()
    stores.store(requested(old, 10), ended(old, 11))
    stores.store(requested(waiting, 12))
    assert stores.due.prune(timedelta(days=1), 10) == 0
    assert stores.due.prune(timedelta(0), 10) == 1
    assert stores.jobs.job(str(old)) is None
    assert stores.view(kept).state == "COMPLETED"
    assert stores.view(waiting).state == "PENDING"


def test_one_tenant_with_many_due_runs_does_not_keep_another_waiting(stores: Stores) -> None:
    flood = [new_job() for _ in range(20)]
    for n, job in enumerate(flood):
        stores.store(requested(job, n, header={"not_before": PAST + timedelta(seconds=n), "tenant": "flood"}))
    other = new_job()
    stores.store(requested(other, 100, header={"not_before": PAST + timedelta(days=1), "tenant": "other"}))
    assert [one.job_id for one in stores.due.due(3)] == [str(flood[0]), str(other), str(flood[1])]


def test_runs_that_no_timekeeper_handles_are_counted_as_overdue_by_kind(stores: Stores) -> None:
    late, waiting, patient = new_job(), new_job(), new_job()
    stores.store(requested(late, 1, header={"deadline": PAST}))
    stores.store(requested(waiting, 2), retrying(waiting, 3))
    stores.store(requested(patient, 4), retrying(patient, 5, in_ms=3_600_000))
    minute = timedelta(minutes=1)
    [found] = stores.due.overdue(minute)
    assert (found.kind, found.jobs) == ("deadline", 1)
    assert found.oldest_s > 365 * 24 * 3600
    assert [(one.kind, one.jobs) for one in stores.due.overdue(timedelta(0))] == [("deadline", 1), ("retry", 1)]


# ── commands ──

GRACE = timedelta(seconds=60)


def cancel(job: UUID, reason: str = "not needed", run: int = 0) -> CancelRow:
    return CancelRow(job.bytes, run, AT, "me", reason)


def test_a_waiting_job_with_a_cancel_is_found_and_an_ended_one_is_not(stores: Stores) -> None:
    waiting, done = new_job(), new_job()
    stores.store(requested(waiting, 3))
    stores.store(requested(done, 4), ended(done, 5))
    stores.commands.write([cancel(waiting), cancel(done)], [], [])
    stores.commands.write([cancel(waiting, "requested again")], [], [])
    [due] = stores.due.open_cancels(GRACE, 10)
    assert (due.job_id, due.kind, due.offset, due.reason) == (str(waiting), "cancel", 3, "not needed")
    assert stores.due.open_cancels(GRACE, 10) == []  # checked again later
    cancelled = stores.view(waiting).cancel
    assert cancelled is not None
    assert (cancelled.requested_by, cancelled.reason, cancelled.requested_at) == ("me", "not needed", AT)


def test_a_cancel_may_come_before_its_job_and_a_running_job_is_left_to_its_worker(stores: Stores) -> None:
    unknown, running = new_job(), new_job()
    stores.store(requested(running, 1))
    stores.sink.mark_progress([ProgressRow(running.bytes, 0, 1, 1, 1, "w", "run", None)])
    stores.commands.write([cancel(unknown), cancel(running)], [], [])
    assert stores.due.open_cancels(GRACE, 10) == []
    later = new_job()
    stores.store(requested(later, 2))
    stores.sink.mark_progress([ProgressRow(later.bytes, 0, 1, 1, 1, "w", "run", None)])
    stores.commands.write([cancel(later)], [], [])
    assert [due.job_id for due in stores.due.open_cancels(timedelta(0), 10)] == [str(later)]


def test_the_last_command_to_a_processor_stands_with_the_acknowledgements_since(stores: Stores) -> None:
    job = new_job()
    stores.store(requested(job))
    before, after = AT - timedelta(seconds=1), AT + timedelta(seconds=1)
    stores.commands.write([], [CommandRow("echo", "resume", before, "me", "")], [])
    acknowledgements = [
        AcknowledgementRow("echo", "w2", "paused", after),
        AcknowledgementRow("echo", "w1", "resumed", before),
    ]
    stores.commands.write([], [CommandRow("echo", "pause", AT, "you", "too hot")], acknowledgements)
    echo, embed = stores.commands.processors(["echo", "embed"])
    assert (echo.name, echo.paused, echo.requested_by, echo.reason) == ("echo", True, "you", "too hot")
    assert [(one.worker_id, one.action, one.at) for one in echo.acknowledgements] == [("w2", "paused", after)]
    assert echo.jobs == {"PENDING": 1}
    assert (embed.name, embed.action, embed.acknowledgements, embed.jobs) == ("embed", None, [], {})


def test_run_states_are_listed_by_job_or_by_batch(stores: Stores) -> None:
    open_, done, stranger = new_job(), new_job(), new_job()
    stores.store(requested(open_, 1, header={"batch_id": "b1"}))
    stores.store(requested(done, 2, header={"batch_id": "b1"}), ended(done, 3, header={"batch_id": "b1"}))
    found = stores.commands.run_states([str(open_), str(done), str(stranger)])
    cancellable = {(one.job_id, one.run, one.processor, one.state) for one in found}
    assert cancellable == {(str(open_), 0, "echo", "PENDING"), (str(done), 0, "echo", "COMPLETED")}
    assert stores.commands.run_states([str(open_)], 3) == []
    assert [one.job_id for one in stores.commands.open_jobs("b1")] == [str(open_)]


# ── accepted requests ──


def test_an_accepted_request_that_never_reached_the_log_is_returned_for_sending(stores: Stores) -> None:
    lost, read, done, fresh = (new_job() for _ in range(4))
    payloads = {
        job: Payload(str(job), 0, "echo", "live", b"k", b"v", [("a", "b")]) for job in (lost, read, done, fresh)
    }
    for job in (lost, read, done):
        assert stores.payloads.accept(payloads[job], 0.0)
    assert stores.payloads.accept(payloads[fresh], 3600.0)
    assert not stores.payloads.accept(payloads[lost], 0.0)
    stores.store(requested(read, 1))
    stores.store(requested(done, 2), ended(done, 3))
    assert stores.due.unsent(10) == [payloads[lost]]
    assert stores.due.unsent(10) == []
    assert stores.payloads.payload(str(done)) is None  # deleted after its outcome


# ── what the command line shows ──
