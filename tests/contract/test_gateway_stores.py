"""Promises of the stores that only the HTTP gateway writes, and of its reads, on Postgres and in memory."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from connectors.access_store import Quota
from connectors.batch_store import BatchRow
from connectors.job_store import JobFilter
from connectors.payload_store import Acceptance, Payload
from connectors.postgres.batch_store import PostgresBatchStore
from connectors.sink_store import Unstorable
from connectors.views import JobStatus
from schemas.errors import Conflict
from schemas.states import State
from streams import wiring
from tests.harness.events import AT
from tests.harness.stores import Stores, ended, new_job, requested

FUTURE = datetime(2100, 1, 1, tzinfo=UTC)
PAST = datetime(2020, 1, 1, tzinfo=UTC)


def payload(job: UUID, input_sha256: str = "a", tenant: str = "clinic", batch_id: UUID | None = None) -> Payload:
    batch = None if batch_id is None else str(batch_id)
    return Payload(str(job), 0, "echo", "live", b"k", b"v", [("a", "b")], tenant, input_sha256, batch)


# ── accepting ──


def test_of_one_id_the_first_request_is_kept_also_within_a_group_and_after_the_sink_has_read_it(stores: Stores) -> None:
    job, read = new_job(), new_job()
    stores.store(requested(read, 1, input_sha256="r"))
    group = [payload(job), payload(read, "other"), payload(job, "b")]
    assert stores.payloads.accept_many(group) == [Acceptance(True, "a"), Acceptance(False, "r"), Acceptance(False, "a")]
    assert stores.payloads.accept_many([payload(job, "c")]) == [Acceptance(False, "a")]
    assert stores.payloads.payload(str(job)) == group[0]
    assert stores.payloads.payload(str(read)) is None
    assert stores.payloads.payload("no id") is None


def test_programs_that_accept_the_same_ids_at_once_accept_each_once(stores: Stores) -> None:
    jobs = [new_job() for _ in range(20)]

    def accept(order: Sequence[UUID]) -> list[Acceptance]:
        with wiring.payload_store(stores.settings) as store:
            return store.accept_many([payload(job) for job in order])

    with ThreadPoolExecutor(4) as pool:
        answers = [each for found in pool.map(accept, [jobs, jobs[::-1]] * 4) for each in found]
    assert sum(answer.accepted for answer in answers) == len(jobs)
    assert {answer.input_sha256 for answer in answers} == {"a"}


# ── batches ──


@pytest.mark.stack
def test_a_store_whose_transaction_was_rolled_back_accepts_the_next_batch(database: str) -> None:
    def row(total: int) -> BatchRow:
        return BatchRow(str(new_job()), "clinic", "echo", total, "s", None, None)

    with PostgresBatchStore(database) as store:
        for _ in range(7):  # psycopg prepares what it has run five times
            assert store.accept(row(1), [payload(new_job())])
        with pytest.raises(Unstorable):
            store.accept(row(1 << 40), [payload(new_job())])
        assert store.accept(row(1), [payload(new_job())])


def test_a_batch_counts_the_jobs_of_its_tenant_and_those_that_nothing_has_read_yet(stores: Stores) -> None:
    batch, done, waiting, unread, foreign = (new_job() for _ in range(5))
    row = BatchRow(str(batch), "clinic", "echo", 3, "s", "https://backend.example/done", "mri")
    assert stores.batches.accept(row, [payload(job, batch_id=batch) for job in (done, waiting, unread)])
    assert not stores.batches.accept(row._replace(total=9), [payload(new_job())])
    ours = {"batch_id": str(batch), "tenant": "clinic"}
    stores.store(requested(done, 1, header=ours), ended(done, 2, header=ours))
    stores.store(requested(waiting, 3, header=ours))
    stores.store(requested(foreign, 4, header=ours | {"tenant": "other"}))
    found = stores.batches.batch(str(batch), "clinic")
    assert found is not None
    assert (found.total, found.inputs_sha256, found.callback_url, found.callback_profile) == row[3:]
    assert found.counts == {"COMPLETED": 1, "PENDING": 2}
    assert found.decided_at is not None
    assert found.ended_at is None
    assert stores.batches.batch(str(batch), "other") is None
    assert stores.batches.batch(str(new_job())) is None
    assert stores.batches.batch("no id") is None
    assert sorted(stores.batches.open_runs(str(batch), "clinic")) == sorted([(str(waiting), 0), (str(unread), 0)])
    assert stores.batches.open_runs(str(batch), "nowhere") == []


# ── reading jobs ──


def names(found: Sequence[JobStatus]) -> list[str]:
    return [status.job_id for status in found]


@pytest.fixture
def clinic(stores: Stores) -> list[UUID]:
    """Three jobs of a tenant, the oldest first, between jobs of another: completed, failed, waiting."""
    jobs = [new_job() for _ in range(3)]
    heads: list[dict[str, Any]] = [
        {
            "tenant": "clinic",
            "created_at": AT + timedelta(minutes=n),
            "case_id": f"case-{n % 2}",
            "external_id": f"e{n}",
        }
        for n in range(3)
    ]
    other = new_job()
    stores.store(requested(other, 9, header=heads[1] | {"tenant": "other", "batch_id": "b", "upload_id": "u"}))
    stores.store(requested(jobs[0], 1, header=heads[0]), ended(jobs[0], 2, header=heads[0]))
    end = ended(jobs[1], 4, header=heads[1], state=State.FAILED)
    assert end.terminal is not None
    failed = end._replace(terminal=end.terminal._replace(error={"code": "INVALID_INPUT", "message": "no"}))
    stores.store(requested(jobs[1], 3, header=heads[1]), failed)
    heads[2] |= {"batch_id": "b", "upload_id": "u", "labels": {"ward": "7"}, "deadline": FUTURE}
    stores.store(requested(jobs[2], 5, header=heads[2]))
    return jobs


def test_a_tenants_jobs_are_listed_newest_first_page_by_page(stores: Stores, clinic: list[UUID]) -> None:
    ours, newest_first = JobFilter("clinic"), [str(job) for job in reversed(clinic)]
    first = stores.jobs.statuses(ours, limit=2)
    assert names(first) == newest_first[:2]
    rest = stores.jobs.statuses(ours, after=(first[-1].created_at, first[-1].job_id))
    assert names(rest) == newest_first[2:]
    assert len(stores.jobs.statuses(JobFilter())) == 4
    assert stores.jobs.statuses(JobFilter("nowhere")) == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"state": "FAILED"}, [1]),
        ({"state": "COMPLETED", "processor": "echo"}, [0]),
        ({"processor": "embed"}, []),
        ({"case_id": "case-0"}, [2, 0]),
        ({"external_id": "e1"}, [1]),
        ({"batch_id": "b"}, [2]),
        ({"upload_id": "u", "state": "PENDING"}, [2]),
    ],
)
def test_every_filter_stays_within_the_tenant(
    stores: Stores, clinic: list[UUID], wanted: dict[str, Any], expected: list[int]
) -> None:
    assert names(stores.jobs.statuses(JobFilter("clinic", **wanted))) == [str(clinic[n]) for n in expected]


def test_a_status_has_a_jobs_fields_and_is_not_shown_to_another_tenant(stores: Stores, clinic: list[UUID]) -> None:
    failed, waiting = (stores.jobs.status(str(clinic[n]), tenant="clinic") for n in (1, 2))
    assert failed is not None
    assert (failed.state, failed.error_code, failed.error_message) == ("FAILED", "INVALID_INPUT", "no")
    assert failed.finished_at is not None
    assert waiting is not None
    assert (waiting.processor, waiting.tenant, waiting.lane, waiting.run) == ("echo", "clinic", "live", 0)
    assert (waiting.created_at, waiting.deadline, waiting.labels) == (AT + timedelta(minutes=2), FUTURE, {"ward": "7"})
    assert (waiting.finished_at, waiting.error_code, waiting.stage) == (None, None, None)
    assert stores.jobs.status(str(clinic[2])) == waiting
    for job, run, tenant in ((clinic[2], None, "other"), (clinic[2], 7, None), (new_job(), None, None)):
        assert stores.jobs.status(str(job), run, tenant) is None
    assert stores.jobs.status("no id") is None
    everything = [str(job) for job in clinic] + [str(new_job()), "no id"]
    assert sorted(names(stores.jobs.statuses_of(everything, "clinic"))) == sorted(str(job) for job in clinic)
    assert stores.jobs.statuses_of(everything, "other") == []


# ── access ──


def test_a_token_is_found_by_its_hash_until_it_is_revoked_or_expired(stores: Stores) -> None:
    made = stores.access.create_token(b"h1", "backend", "clinic", ("submit", "read"), None)
    assert (made.name, made.tenant, made.scopes, made.expires_at) == ("backend", "clinic", ("submit", "read"), None)
    assert stores.access.token(b"h1") == made
    assert stores.access.token(b"h2") is None
    with pytest.raises(Conflict, match="backend"):
        stores.access.create_token(b"h2", "backend", "other", ("read",), None)
    stores.access.create_token(b"h3", "old", "clinic", ("read",), PAST)
    assert stores.access.token(b"h3") is None
    revoked = stores.access.revoke_token("backend")
    assert revoked is not None
    assert revoked.revoked_at is not None
    assert stores.access.token(b"h1") is None
    assert stores.access.revoke_token("backend") is None
    again = stores.access.create_token(b"h4", "backend", "clinic", ("work",), FUTURE)
    assert stores.access.token(b"h4") == again
    assert [token.name for token in stores.access.tokens()] == ["backend", "backend", "old"]


def test_a_tenants_quota_is_replaced(stores: Stores) -> None:
    stores.access.set_quota(Quota("clinic", 10.0, 20, 100))
    stores.access.set_quota(Quota("a", None, None, 5))
    stores.access.set_quota(Quota("clinic", 5.5, 6, None))
    assert stores.access.quotas() == [Quota("a", None, None, 5), Quota("clinic", 5.5, 6, None)]
