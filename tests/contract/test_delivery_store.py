"""Promises of the notifier's store that keep one tenant, destination or notifier from stopping the others."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from connectors.delivery_store import Busy, ClaimedDelivery, TryRow, authority_of
from connectors.postgres.delivery_store import PostgresDeliveryStore
from connectors.postgres.statement import FOLDER
from tests.harness.databases import empty_database
from tests.harness.stores import Stores, ended, new_job, requested

ME, OTHER = b"m" * 16, b"o" * 16


def store_deliveries(
    stores: Stores, url: str, count: int = 1, *, tenant: str = "one", notifier: bytes | None = None, size: int = 0
) -> list[UUID]:
    """Store ended jobs with a pending delivery each, and an output of about `size` bytes."""
    jobs = [new_job() for _ in range(count)]
    head: dict[str, Any] = {"callback_url": url, "tenant": tenant}
    for n, job in enumerate(jobs):
        end = ended(job, 2 * n + 1, header=head)
        assert end.terminal is not None
        output = f'{{"text": "{"x" * size}"}}'.encode() if size else None
        end = end._replace(terminal=end.terminal._replace(output=output))
        stores.store(requested(job, 2 * n, header=head), end, notifier=notifier)
    return jobs


@pytest.fixture(autouse=True)
def _alive(request: pytest.FixtureRequest) -> None:
    if "stores" in request.fixturenames:
        for notifier in (ME, OTHER):
            request.getfixturevalue("stores").deliveries.renew(notifier, 60.0)


def by(claimed: list[ClaimedDelivery], what: str) -> Counter[str]:
    return Counter(one.row["tenant"] if what == "tenant" else authority_of(one.destination) for one in claimed)


def test_queues_take_turns_so_that_a_flood_delays_no_other_tenant_or_destination(stores: Stores) -> None:
    store_deliveries(stores, "http://flood:1/", 20, tenant="loud")
    store_deliveries(stores, "http://calm:1/", 1, tenant="loud")
    store_deliveries(stores, "http://flood:1/", 1, tenant="quiet")
    claimed = stores.deliveries.claim(ME, 4)
    assert by(claimed, "tenant") == {"loud": 3, "quiet": 1}
    assert by(claimed, "destination") == {"flood:1": 3, "calm:1": 1}


def test_every_queue_has_its_turn_however_many_there_are(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("connectors.postgres.delivery_store", "connectors.memory.delivery_store"):
        monkeypatch.setattr(f"{module}.QUEUES", 2)
    for n in range(5):
        store_deliveries(stores, f"http://host{n}/", 2, tenant=f"t{n % 2}")
    claimed = [one for _ in range(6) for one in stores.deliveries.claim(ME, 2)]
    assert by(claimed, "destination") == {f"host{n}": 2 for n in range(5)}


def test_deliveries_of_busy_tenants_and_destinations_are_not_claimed(stores: Stores) -> None:
    for tenant in ("a", "b", "c"):
        for host in ("x", "Y:8"):
            store_deliveries(stores, f"http://{host}?{tenant}", tenant=tenant)
    claimed = stores.deliveries.claim(ME, 10, busy=Busy(["a"], ["y:8"]))
    assert by(claimed, "tenant") == {"b": 1, "c": 1}
    assert by(claimed, "destination") == {"x": 2}
    assert len(stores.deliveries.claim(ME, 10)) == 4


@pytest.mark.parametrize("url", ["junk", "http://", "http://" + "h" * 5000, "", "http://ho\0st/"])
def test_a_delivery_with_a_url_that_names_no_host_is_claimed_as_well(stores: Stores, url: str) -> None:
    store_deliveries(stores, url, tenant="t" * 300)
    assert len(stores.deliveries.claim(ME, 10)) == (1 if url else 0)  # without a URL there is no delivery


def test_claims_and_reconciliation_are_bounded_in_bytes(stores: Stores) -> None:
    store_deliveries(stores, "http://a/", 5, size=1000)
    assert len(stores.deliveries.claim(ME, 10, max_bytes=2500)) == 3  # the one that goes beyond is the last
    assert len(stores.deliveries.held(ME, 10, max_bytes=1)) == 1
    assert len(stores.deliveries.claim(ME, 10, max_bytes=2500)) == 2


@pytest.mark.parametrize("known", [True, False], ids=["dead", "unknown"])
def test_deliveries_of_a_notifier_that_is_dead_or_unknown_are_claimed_in_turns_too(stores: Stores, known: bool) -> None:
    gone = uuid.uuid4().bytes
    if known:
        stores.deliveries.renew(gone, 0.0)
    store_deliveries(stores, "http://a/", 3, notifier=gone)
    store_deliveries(stores, "http://b/", 1, notifier=gone)
    store_deliveries(stores, "http://c/", 1, notifier=OTHER)
    assert by(stores.deliveries.claim(ME, 2), "destination") == {"a": 1, "b": 1}
    assert by(stores.deliveries.claim(ME, 10), "destination") == {"a": 2}


def test_a_late_try_starts_no_ended_delivery_again(stores: Stores) -> None:
    [job] = store_deliveries(stores, "http://a/")
    [claimed] = stores.deliveries.claim(ME, 1)
    stores.deliveries.record([TryRow(claimed.delivery_id, "gone", 0, True, 410, 1.0, "gone")])
    ended_at = stores.view(job).deliveries[0].ended_at
    stores.deliveries.record([TryRow(claimed.delivery_id, "pending", 0, True, 503, 1.0, "late")])
    [view] = stores.view(job).deliveries
    assert (view.state, view.ended_at) == ("gone", ended_at)
    assert [one.status for one in view.tries] == [410, 503]
    assert stores.deliveries.claim(ME, 1) == []
    stores.deliveries.record([TryRow(claimed.delivery_id, "delivered", 0, True, 200, 1.0, None)])
    assert stores.view(job).deliveries[0].state == "delivered"


FLOOD = """
    INSERT INTO deliveries (delivery_id, job_id, run, kind, sequence, destination, state, tries, due_at, tenant, notifier)
    SELECT gen_random_uuid(), gen_random_uuid(), 0, 'outcome', 0, 'http://host' || n %% 3 || '/' || n, 'pending', 0,
           now() - interval '1 hour', 't' || n %% 2, CASE WHEN n %% 10 = 0 THEN md5((n %% 3)::text)::uuid END
    FROM generate_series(1, %s) AS n
"""
FROM_FIRST = {"tenant": "", "authority": "", "full": ["t0"], "limit": 100}
TWO_QUEUES = {"notifier": UUID(bytes=ME), "tenants": ["t0", "t1"], "authorities": ["host0", "host1"]} | {
    "per_queue": 100,
    "limit": 500,
    "max_bytes": 1000,
    "hold": timedelta(seconds=40),
}


@pytest.mark.stack
@pytest.mark.parametrize(
    ("query", "parameters"),
    [("delivery_queues", FROM_FIRST), ("claim_deliveries", TWO_QUEUES), ("release_orphans", {"limit": 10})],
)
def test_a_claim_reads_a_few_rows_of_each_queue_however_many_are_due(
    database: str, query: str, parameters: dict[str, Any]
) -> None:
    empty_database(database)
    text = (FOLDER / f"{query}.sql").read_text()
    with psycopg.connect(database) as connection:
        connection.execute(PostgresDeliveryStore.session)
        connection.execute(FLOOD, [5000])
        [[plan]] = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", parameters).fetchall()
        connection.rollback()
    assert max(rows_of(plan[0]["Plan"])) <= 300, plan


def rows_of(node: dict[str, Any]) -> list[float]:
    """Return how many rows each node of a plan read."""
    rows = node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0)
    return [rows, *(one for child in node.get("Plans", ()) for one in rows_of(child))]
