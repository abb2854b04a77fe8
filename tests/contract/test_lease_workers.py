"""Workers that claim by lease are seen while they are idle and while they are busy, and no longer once they are silent."""

from __future__ import annotations

import pytest

import connectors.memory.lease_store
import connectors.postgres.lease_store
from tests.harness.lease_rows import waiting_jobs
from tests.harness.stores import Stores


def test_a_worker_that_asks_for_jobs_is_alive_and_one_that_may_only_look_is_not(stores: Stores) -> None:
    leases, other = stores.lease_store(), stores.lease_store()
    assert leases.live_workers("echo") == frozenset()
    assert leases.claim("echo", "idle", 1, 60.0) == leases.claim("echo", "looks", 1, 60.0, offered=True) == []
    assert leases.claim("embed", "of another", 1, 60.0) == []
    assert other.live_workers("echo") == {"idle"}


def test_a_busy_worker_is_alive_while_it_renews_its_leases(stores: Stores) -> None:
    leases, _ = stores.lease_store(), waiting_jobs(stores)
    [offer] = leases.claim("echo", "busy", 1, 60.0, offered=True)
    assert leases.live_workers("echo") == frozenset()
    assert leases.heartbeat("busy", [offer.hold], 60.0).renewed
    assert leases.live_workers("echo") == {"busy"}


def test_a_worker_that_is_silent_is_not_alive(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    leases, _ = stores.lease_store(), waiting_jobs(stores)
    assert leases.claim("echo", "busy", 1, 60.0)
    assert leases.live_workers("echo") == {"busy"}
    for module in (connectors.memory.lease_store, connectors.postgres.lease_store):
        monkeypatch.setattr(module, "ALIVE_S", -0.001)  # its claim is longer ago than that
    assert leases.live_workers("echo") == frozenset()
