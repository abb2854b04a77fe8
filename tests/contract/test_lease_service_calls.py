"""Calls of the lease store that only services make: a tenant's claims, and notices."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.harness.lease_rows import store_event, waiting_jobs
from tests.harness.stores import Stores, new_job, requested


def test_a_tenants_worker_is_granted_no_other_tenants_jobs(stores: Stores) -> None:
    mine, other = new_job(), new_job()
    store_event(stores, other, "requested", requested(other, 0, header={"tenant": "b"}))
    store_event(stores, mine, "requested", requested(mine, 1, header={"tenant": "a"}), offset=1)
    leases = stores.lease_store()
    assert [grant.job_id for grant in leases.claim("echo", "w1", 9, 60.0, tenant="a")] == [str(mine)]
    assert leases.claim("echo", "w1", 9, 60.0, tenant="a") == []
    assert [grant.job_id for grant in leases.claim("echo", "w1", 9, 60.0)] == [str(other)]


def test_a_notice_names_the_processor_whose_job_became_claimable(stores: Stores) -> None:
    leases = stores.lease_store()
    leases.wait(0.01)  # it listens from now on
    with ThreadPoolExecutor(1) as pool:
        notice = pool.submit(leases.wait, 20.0)
        waiting_jobs(stores)
        assert notice.result(25) == {"echo"}
    assert leases.wait(0.01) <= {"echo"}
