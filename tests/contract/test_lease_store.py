"""Custody by lease, on Postgres and in memory, directly and through a gateway: one holder at a time, and a fence against the
previous holder."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.command_store import CancelRow, CommandRow
from connectors.lease_store import LARGEST_COUNT, Grant, Hold, LeaseStore
from connectors.memory import MemoryDatabase
from streams.settings import Settings
from tests.harness.databases import empty_database
from tests.harness.events import AT
from tests.harness.lab import StoresBehindGateway, running_gateway
from tests.harness.lease_rows import store_event, waiting_jobs
from tests.harness.stores import Stores, ended, new_job, requested, retrying


def settings_at(address: str, home: Path) -> Settings:
    log = f"memory:{uuid.uuid4().hex}"
    more: Any = {"kafka_bootstrap_servers": log, "schema_registry_url": log}
    return Settings(database_url=SecretStr(address), home=home, leased=("echo", "embed"), **more)


@pytest.fixture(scope="module")
def gateway(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(settings_at(database, tmp_path_factory.mktemp("gateway"))) as url:
        yield url


def stack(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.stack)


@pytest.fixture(params=["memory", stack("postgres"), stack("gateway on postgres")])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Yield stores of one database; the calls of a worker go straight to it or through a gateway."""
    name = uuid.uuid4().hex
    address = f"memory:{name}"
    if "postgres" in request.param:
        address = request.getfixturevalue("database")
        empty_database(address)
    settings = settings_at(address, tmp_path)
    gateway = "gateway" in request.param
    made = StoresBehindGateway(settings, request.getfixturevalue("gateway")) if gateway else Stores(settings)
    yield made
    made.close()
    MemoryDatabase.forget(name)


def lease_store(stores: Stores) -> LeaseStore:
    return stores.lease_store()


def claim(leases: LeaseStore, count: int = 10, lease_s: float = 60.0, worker: str = "w1", **more: Any) -> list[Grant]:
    return leases.claim("echo", worker, count, lease_s, **more)


def test_a_stored_request_is_granted_once_unchanged_live_jobs_and_oldest_first(stores: Stores) -> None:
    leases = lease_store(stores)
    [bulk] = waiting_jobs(stores, lane="bulk")
    first, second = waiting_jobs(stores, 2)
    grants = claim(leases, 2)
    assert [grant.job_id for grant in grants] == [str(first), str(second)]
    assert (grants[0].attempt, grants[0].execution, grants[0].crashes, grants[0].lane) == (1, 1, 0, "live")
    assert (grants[0].key, grants[0].value, grants[0].headers) == (b"k", b"v", (("sluice-job", b"x"),))
    assert grants[1].coordinates is not None
    assert (grants[1].coordinates.topic, grants[1].coordinates.offset) == ("requests.echo", 1)
    assert grants[0].fence < grants[1].fence
    assert [grant.job_id for grant in claim(leases)] == [str(bulk)]
    assert claim(leases) == []
    assert leases.claim("embed", "w1", 10, 60.0) == []


def test_a_stale_fence_is_refused_and_a_released_job_is_granted_again(stores: Stores) -> None:
    leases = lease_store(stores)
    [job] = waiting_jobs(stores)
    [old] = claim(leases)
    assert leases.heartbeat("w2", [old.hold], 60.0).lost == {old.hold.key}
    assert leases.heartbeat("w1", [old.hold], 60.0).renewed == {old.hold.key}
    assert leases.release(str(job), 0, old.fence, started=True)
    assert not leases.release(str(job), 0, old.fence, started=True)
    [new] = claim(leases, worker="w2")
    assert (new.execution, new.crashes) == (2, 0)
    assert not leases.settle(str(job), 0, old.fence)
    assert leases.settle(str(job), 0, new.fence)
    assert leases.heartbeat("w2", [new.hold], 60.0).lost == {new.hold.key}
    assert stores.sink.executions([(job.bytes, 0)]) == {(job.bytes, 0): (1, 2)}


def test_an_expired_lease_is_claimable_again_and_finally_given_up(stores: Stores) -> None:
    leases = lease_store(stores)
    [job] = waiting_jobs(stores)
    claim(leases, lease_s=0.0, executions=2)
    [out] = leases.expire(10)
    assert (out.job_id, out.execution, out.worker, out.given_up) == (str(job), 1, "w1", False)
    assert leases.expire(10) == []
    [grant] = claim(leases, lease_s=0.0, executions=2)
    assert (grant.execution, grant.crashes) == (2, 1)
    [lost] = leases.expire(10)
    assert (lost.given_up, lost.execution, lost.value) == (True, 2, b"v")
    assert leases.expire(10) == []  # again in a minute
    assert claim(leases) == []


def test_a_worker_that_reports_counts_beyond_all_limits_stops_no_expiry(stores: Stores) -> None:
    leases, most = lease_store(stores), 2**31 - 1
    many, dead, honest = waiting_jobs(stores, 3)
    held = {grant.job_id: grant.hold for grant in claim(leases, executions=5)}
    forged = [held[str(many)]._replace(execution=most), held[str(dead)]._replace(crashes=most), held[str(honest)]]
    assert len(leases.heartbeat("w1", forged, 0.0).renewed) == 3
    assert {out.job_id: out.given_up for out in leases.expire(10)} == {
        str(many): False,
        str(dead): True,
        str(honest): False,
    }
    [first] = claim(leases, 1)
    assert leases.release(first.job_id, 0, first.fence, started=True)
    [first] = claim(leases, 1)
    assert first.execution <= LARGEST_COUNT


def test_cancelled_paused_and_ended_jobs_are_not_granted(stores: Stores) -> None:
    leases = lease_store(stores)
    cancelled, done, left = waiting_jobs(stores, 3)
    stores.commands.write([CancelRow(cancelled.bytes, 0, AT, "me", "")], [], [])
    store_event(stores, done, "ended", ended(done, 9))
    stores.commands.write([], [CommandRow("echo", "pause", AT, "me", "")], [])
    assert claim(leases) == []
    stores.commands.write([], [CommandRow("echo", "resume", AT, "me", "")], [])
    [grant] = claim(leases)
    assert grant.job_id == str(left)
    stores.commands.write([CancelRow(left.bytes, 0, AT, "me", "")], [], [])
    assert leases.heartbeat("w1", [grant.hold], 60.0).cancelled == {grant.hold.key}
    assert stores.sink.executions([(done.bytes, 0)]) == {}


def test_a_retry_settles_the_lease_and_the_next_attempt_opens_a_new_one(stores: Stores) -> None:
    leases = lease_store(stores)
    [job] = waiting_jobs(stores)
    [grant] = claim(leases)
    store_event(stores, job, "retrying", retrying(job, 5))
    assert leases.heartbeat("w1", [Hold(str(job), 0, grant.fence)], 60.0).lost == {grant.hold.key}
    store_event(stores, job, "requested", requested(job, 6, attempt=2), offset=6)
    [again] = claim(leases)
    assert (again.attempt, again.execution, again.crashes) == (2, 1, 0)
    assert again.fence > grant.fence


def test_a_claim_that_waits_returns_nothing_after_its_time(stores: Stores) -> None:
    assert claim(lease_store(stores), wait_s=0.05) == []


def test_workers_that_claim_at_once_never_hold_the_same_job(stores: Stores) -> None:
    jobs = {str(job) for job in waiting_jobs(stores, 120)}
    count = 50 if isinstance(stores, StoresBehindGateway) else 20
    start = threading.Barrier(count)

    def work(number: int) -> list[Grant]:
        leases, mine = lease_store(stores), list[Grant]()
        start.wait()
        while found := claim(leases, 2, worker=f"w{number}"):
            mine += found
        return mine

    with ThreadPoolExecutor(count) as pool:
        grants = [grant for mine in pool.map(work, range(count)) for grant in mine]
    assert sorted(grant.job_id for grant in grants) == sorted(jobs)
    assert len({grant.fence for grant in grants}) == 120


def test_a_claimer_that_was_notified_of_a_job_that_another_got_waits_on(stores: Stores) -> None:
    leases, other = lease_store(stores), lease_store(stores)
    assert claim(leases, wait_s=0.01) == []  # it listens from now on
    waiting_jobs(stores)
    assert len(claim(other)) == 1
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(claim, leases, wait_s=30.0)
        [job] = waiting_jobs(stores)
        [grant] = answer.result(20)
    assert grant.job_id == str(job)


def test_a_waiting_claim_returns_when_a_job_becomes_claimable(stores: Stores) -> None:
    leases = lease_store(stores)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(claim, leases, wait_s=30.0)
        [job] = waiting_jobs(stores)
        [grant] = answer.result(20)
        assert grant.job_id == str(job)
        other = lease_store(stores)
        answer = pool.submit(claim, leases, wait_s=30.0)
        assert other.release(str(job), 0, grant.fence, started=False)
        [again] = answer.result(20)
    assert (again.execution, again.fence > grant.fence) == (1, True)


def test_an_expired_lease_that_was_not_processed_yet_can_be_renewed(stores: Stores) -> None:
    leases = lease_store(stores)
    waiting_jobs(stores)
    [grant] = claim(leases, lease_s=0.0)
    assert leases.heartbeat("w1", [grant.hold], 60.0).renewed == {grant.hold.key}
    assert leases.expire(10) == []


def test_an_expired_lease_can_be_resumed_until_it_is_claimed_or_its_run_cancelled(stores: Stores) -> None:
    leases = lease_store(stores)
    [job] = waiting_jobs(stores)
    [grant] = claim(leases, lease_s=0.0)
    assert not leases.resume("w1", grant.hold, 60.0)  # still its own
    leases.expire(10)
    assert leases.resume("w1", grant.hold, 0.0)
    assert (claim(leases, worker="w2"), len(leases.expire(10))) == ([], 1)
    [other] = claim(leases, 1, 0.0, worker="w2")
    assert (other.execution, leases.resume("w1", grant.hold, 60.0)) == (3, False)
    stores.commands.write([CancelRow(job.bytes, 0, AT, "me", "")], [], [])
    leases.release(other.job_id, 0, other.fence, started=False)
    assert not leases.resume("w2", other.hold, 60.0)


def test_the_next_worker_continues_the_counts_of_the_last_one(stores: Stores) -> None:
    leases = lease_store(stores)
    [job] = waiting_jobs(stores)
    [grant] = claim(leases)
    leases.heartbeat("w1", [Hold(str(job), 0, grant.fence, execution=3, crashes=2)], 0.0)
    [lost] = leases.expire(10)
    assert (lost.execution, lost.given_up) == (3, True)


def test_a_job_past_its_deadline_is_not_granted(stores: Stores) -> None:
    late, left = new_job(), new_job()
    past, ahead = datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) + timedelta(hours=1)
    store_event(stores, late, "requested", requested(late, 0, header={"deadline": past}))
    store_event(stores, left, "requested", requested(left, 1, header={"deadline": ahead}), offset=1)
    assert [grant.job_id for grant in claim(lease_store(stores))] == [str(left)]


def test_a_request_of_a_run_that_has_ended_makes_nothing_claimable(stores: Stores) -> None:
    job = new_job()
    store_event(stores, job, "ended", ended(job, 9))
    store_event(stores, job, "requested", requested(job))
    assert claim(lease_store(stores)) == []
    assert stores.sink.executions([(job.bytes, 0)]) == {}


def test_jobs_whose_worker_died_are_granted_one_at_a_time(stores: Stores) -> None:
    leases = lease_store(stores)
    first, second = waiting_jobs(stores, 2)
    assert len(claim(leases, lease_s=0.0)) == 2
    assert len(leases.expire(10)) == 2
    [third] = waiting_jobs(stores)
    assert [[grant.job_id for grant in claim(leases)] for _ in range(3)] == [[str(first)], [str(second)], [str(third)]]


def test_a_suspect_does_not_wait_behind_younger_jobs(stores: Stores) -> None:
    leases = lease_store(stores)
    [older] = waiting_jobs(stores)
    [suspect] = waiting_jobs(stores)
    younger = waiting_jobs(stores, 2)
    [_, grant] = claim(leases, 2)
    assert leases.heartbeat("w1", [grant.hold._replace(crashes=1)], 60.0).renewed
    assert leases.release(str(suspect), 0, grant.fence, started=True)
    assert [held.job_id for held in claim(leases)] == [str(suspect)]
    assert [held.job_id for held in claim(leases)] == [str(job) for job in younger]
    assert str(older) not in {held.job_id for held in claim(leases)}


def test_a_lease_is_found_with_its_request_until_its_run_ends(stores: Stores) -> None:
    leases = lease_store(stores)
    [job] = waiting_jobs(stores)
    before = leases.find(str(job), 0)
    [grant] = claim(leases)
    held = leases.find(str(job), 0)
    assert before is not None
    assert held is not None
    assert (before.state, before.fence, before.worker) == ("waiting", None, "")
    assert (held.state, held.fence, held.worker.rpartition("/")[2]) == ("held", grant.fence, "w1")
    assert (held.value, held.headers, held.coordinates) == (grant.value, grant.headers, grant.coordinates)
    assert (before.renewed_at, before.expires_at, held.expires_at) == (None, None, grant.expires_at)
    assert leases.heartbeat("w1", [grant.hold], 90.0).renewed
    renewed = leases.find(str(job), 0)
    assert renewed is not None
    assert held.renewed_at is not None
    assert renewed.renewed_at is not None
    assert held.renewed_at <= renewed.renewed_at
    assert renewed.expires_at == renewed.renewed_at + timedelta(seconds=90)
    store_event(stores, job, "ended", ended(job, 9))
    assert leases.find(str(job), 0) is None
    assert leases.find(str(new_job()), 0) is None
