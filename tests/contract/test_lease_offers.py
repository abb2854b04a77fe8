"""Offers of leased jobs: for clients that may only look. What they do not take up costs the job a moment and nothing else."""

from __future__ import annotations

from connectors.lease_store import Grant, LeaseStore
from tests.harness.lease_rows import waiting_jobs
from tests.harness.stores import Stores


def offers(leases: LeaseStore) -> list[Grant]:
    """Offer jobs for no time at all."""
    return leases.claim("echo", "poll", 10, 0.0, offered=True)


def test_an_offer_that_is_not_taken_up_counts_as_nothing_however_often_it_was_made(stores: Stores) -> None:
    leases = stores.lease_store()
    [job] = waiting_jobs(stores)
    for _ in range(5):
        [offer] = offers(leases)
        assert offers(leases) == leases.claim("echo", "w1", 10, 60.0) == []
        [queue] = stores.monitor.leased()
        assert (queue.waiting, queue.held) == (1, 0)
        [out] = leases.expire(10)
        assert (out.job_id, out.offered, out.given_up) == (str(job), True, False)
    [grant] = leases.claim("echo", "w1", 10, 60.0)
    assert (grant.job_id, grant.execution, grant.crashes) == (str(job), 1, 0)
    assert leases.heartbeat("poll", [offer.hold], 60.0).lost == {offer.hold.key}


def test_the_first_heartbeat_takes_up_an_offer_which_then_expires_as_any_lease(stores: Stores) -> None:
    leases, [job] = stores.lease_store(), waiting_jobs(stores)
    [offer] = offers(leases)
    assert not leases.settle(str(job), 0, offer.fence)
    assert leases.heartbeat("w2", [offer.hold], 60.0).lost == {offer.hold.key}
    assert leases.heartbeat("poll", [offer.hold], 0.0).renewed == {offer.hold.key}
    [out] = leases.expire(10)
    assert (out.offered, out.worker, out.execution) == (False, "poll", 1)
    [again] = offers(leases)
    assert (again.execution, again.crashes) == (2, 1)
    assert leases.release(str(job), 0, again.fence, started=False)


def test_an_offer_of_the_last_execution_that_is_not_taken_up_gives_up_nothing(stores: Stores) -> None:
    leases, [job] = stores.lease_store(), waiting_jobs(stores)
    leases.claim("echo", "w1", 1, 0.0, executions=2)
    leases.expire(10)
    leases.claim("echo", "poll", 1, 0.0, executions=2, offered=True)
    assert [(out.job_id, out.given_up) for out in leases.expire(10)] == [(str(job), False)]
    assert len(leases.claim("echo", "w1", 1, 0.0, executions=2)) == 1
    assert [out.given_up for out in leases.expire(10)] == [True]
