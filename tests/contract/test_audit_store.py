"""Promises of the audit's reads, on Postgres and in memory: the same rows come of the same history."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from uuid import UUID

from connectors.audit_store import AuditStore
from connectors.payload_store import Payload
from connectors.sink_store import LogPosition
from schemas.ids import new_id
from streams import wiring
from tests.harness.events import REQUESTS, RESULTS
from tests.harness.stores import CALLBACK, GROUP, TOPICS, Stores, ended, new_job, requested, retrying, step

EVER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def reads(stores: Stores) -> AuditStore:
    made: AuditStore = stores._opened(wiring.audit_store(stores.settings))
    return made


def payload(job: UUID, tenant: str = "t") -> Payload:
    return Payload(str(job), 0, "echo", "live", b"k", b"v", [], tenant)


def test_runs_come_in_the_order_of_their_keys_with_everything_that_is_stored(stores: Stores) -> None:
    done, waiting, accepted, unknown = new_job(), new_job(), new_job(), new_job()
    stores.store(requested(done, 0, header=CALLBACK), ended(done, 1, header=CALLBACK))
    stores.store(requested(waiting, 2), retrying(waiting, 3, in_ms=60_000))
    stores.payloads.accept(payload(accepted))
    rows = reads(stores).runs([(job.bytes, 0) for job in (unknown, done, waiting, accepted)])

    assert [row.job_id for row in rows] == [job.bytes for job in (unknown, done, waiting, accepted)]
    nothing, complete, open_, row = rows
    assert (nothing.known, nothing.processor, nothing.deliveries) == (False, None, ())
    assert complete.outcome is not None
    assert (complete.state, complete.outcome.status, complete.outcome.error_code) == ("COMPLETED", "COMPLETED", None)
    assert (complete.place, complete.outcome.place) == (LogPosition(REQUESTS, 0, 0), LogPosition(RESULTS, 0, 1))
    assert [delivery.state for delivery in complete.deliveries] == ["pending"]
    assert (complete.callback, complete.erased, complete.request_place) == (True, False, None)
    assert (open_.state, open_.due_kind, open_.outcome, open_.callback) == ("RETRYING", "retry", None, False)
    assert (open_.request_attempt, open_.request_place) == (1, LogPosition(REQUESTS, 0, 2))
    assert (row.known, row.processor, row.tenant) == (False, "echo", "t")
    assert row.payload_at is not None
    assert row.check_at is not None
    assert reads(stores).runs([]) == []


def test_records_that_the_history_lacks_are_named(stores: Stores) -> None:
    job, store = new_job(), reads(stores)
    stores.store(requested(job, 0), ended(job, 1))
    there, lacking = LogPosition(RESULTS, 0, 1), LogPosition(RESULTS, 0, 7)
    assert store.unrecorded([(job.bytes, there), (job.bytes, lacking), (new_job().bytes, there)]) == [lacking, there]
    assert store.unrecorded([]) == []


def test_runs_are_listed_by_the_time_of_their_request_page_by_page(stores: Stores) -> None:
    jobs = sorted((new_job() for _ in range(5)), key=lambda job: job.bytes)
    for offset, job in enumerate(jobs):
        stores.store(requested(job, offset))
    store, seen, after = reads(stores), list[bytes](), None
    while page := store.requested(*EVER, 2, after):
        seen += [row.job_id for row in page]
        after = (page[-1].requested_at, page[-1].job_id, page[-1].run)
    assert sorted(seen) == [job.bytes for job in jobs]
    [first] = store.requested(*EVER, 1)
    assert first.place is not None
    assert (first.processor, first.place.topic_id, first.decided_at) == ("echo", REQUESTS, None)
    assert store.requested(EVER[0], EVER[0] + timedelta(days=1), 10) == []


def test_accepted_requests_wait_until_the_sink_has_read_them(stores: Stores) -> None:
    waiting, read = new_job(), new_job()
    for job in (waiting, read):
        stores.payloads.accept(payload(job))
    stores.store(requested(read, 0))
    assert reads(stores).waiting(*EVER, 10) == [(waiting.bytes, 0)]
    assert reads(stores).waiting(EVER[0], EVER[0], 10) == []


def test_the_state_has_the_sinks_offsets_and_the_names_of_topics(stores: Stores) -> None:
    job, claimed = UUID(new_id()), stores.claim()
    stores.store(ended(job, 4), offsets=[step(claimed, 5, 3)])
    state = reads(stores).state(GROUP)
    assert {state.topics[topic_id] for topic_id in TOPICS} == set(TOPICS.values())
    assert state.offsets[RESULTS, 0] == (5, 3)
    assert reads(stores).state(f"another-{uuid.uuid4()}").offsets == {}
    assert state.paused == frozenset()
    assert abs(state.now - datetime.now(UTC)) < timedelta(minutes=1)
