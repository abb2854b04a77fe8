"""Deliveries for operators, on both stores: found, shown, sent again; and the health of destinations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from connectors.delivery_admin import DeliveryAdmin, DeliveryFilter
from connectors.delivery_store import DestinationTries, NotedCircuit, TryRow
from connectors.sink_store import ProgressRow
from streams import wiring
from streams.sink.rows import delivery_id
from tests.harness.stores import Stores, ended, new_job, requested

ME = b"m" * 16


@pytest.fixture
def admin(stores: Stores) -> Iterator[DeliveryAdmin]:
    stores.deliveries.renew(ME, 60.0)
    with wiring.delivery_admin(stores.settings) as opened:
        yield opened


def store(stores: Stores, url: str = "http://a:1/cb", tenant: str = "one", state: str = "pending") -> str:
    """Store an ended job whose delivery is in this state; return the delivery's id."""
    job, head = new_job(), {"callback_url": url, "tenant": tenant}
    stores.store(requested(job, 0, header=head), ended(job, 1, header=head))
    id_ = delivery_id(job.bytes, 0)
    if state != "pending":
        stores.deliveries.record([TryRow(id_, state, 0, True, 200 if state == "delivered" else 500, 1.0, state)])
    return str(UUID(bytes=id_))


def ids(admin: DeliveryAdmin, **wanted: Any) -> set[str]:
    return {row.delivery_id for row in admin.find(DeliveryFilter(**wanted), 10)}


def test_deliveries_are_found_by_job_tenant_destination_state_and_time(stores: Stores, admin: DeliveryAdmin) -> None:
    one = store(stores)
    two = store(stores, "https://B.example/x", "two", "parked")
    three = store(stores, "http://a:1/other", "two", "delivered")
    assert ids(admin) == {one, two, three}
    assert ids(admin, tenant="two") == {two, three}
    assert ids(admin, destination="A:1") == {one, three}
    assert ids(admin, destination="b.example:443") == ids(admin, destination="b.example") == {two}
    assert ids(admin, states=["parked", "gone"]) == {two}
    assert ids(admin, states=["pending"]) == {one}
    assert ids(admin, states=["delivered", "parked"]) == {two, three}
    [row] = admin.find(DeliveryFilter(ids=[two]), 1)
    assert ids(admin, job_id=row.job_id) == {two}
    assert ids(admin, job_id="no id") == set()
    assert ids(admin, since=row.created_at) >= {two, three}
    assert ids(admin, until=row.created_at - timedelta(hours=1)) == set()
    assert (row.kind, row.state, row.tries, row.last_status, row.last_error) == ("outcome", "parked", 1, 500, "parked")


def test_deliveries_are_listed_newest_first_in_pages(stores: Stores, admin: DeliveryAdmin) -> None:
    stored = [store(stores) for _ in range(5)]
    first = admin.find(DeliveryFilter(), 2)
    rest = admin.find(DeliveryFilter(), 10, (first[-1].created_at, first[-1].delivery_id))
    assert [row.delivery_id for row in (*first, *rest)] == stored[::-1]


def test_a_delivery_is_shown_with_its_tries_to_its_tenant_only(stores: Stores, admin: DeliveryAdmin) -> None:
    id_ = store(stores, state="parked")
    found = admin.delivery(id_, "one")
    assert found is not None
    assert [(line.n, line.status, line.error) for line in found[1]] == [(1, 500, "parked")]
    assert admin.delivery(id_, "two") is admin.delivery("no id") is None


def test_a_delivery_that_is_sent_again_has_the_same_id_and_a_new_series_of_tries(
    stores: Stores, admin: DeliveryAdmin
) -> None:
    id_ = store(stores, state="parked")
    assert admin.resend(DeliveryFilter(ids=[id_]), None, 10) == [id_]
    [claimed] = stores.deliveries.claim(ME, 10)
    assert (str(UUID(bytes=claimed.delivery_id)), claimed.tries) == (id_, 0)
    stores.deliveries.record([TryRow(claimed.delivery_id, "delivered", 0, True, 200, 1.0, None)])
    found = admin.delivery(id_)
    assert found is not None
    assert (found[0].state, [line.n for line in found[1]]) == ("delivered", [1, 2])


def test_only_what_has_ended_is_sent_again_and_by_a_filter_no_more_than_it_names(
    stores: Stores, admin: DeliveryAdmin
) -> None:
    pending, parked, gone = (store(stores, state=state) for state in ("pending", "parked", "gone"))
    elsewhere = store(stores, "http://b:1/", state="parked")
    wanted = DeliveryFilter(destination="a:1", states=["parked", "gone"])
    count, now = admin.count(wanted)
    assert count == 2
    assert admin.resend(DeliveryFilter(ids=[pending]), None, 10) == []
    sent = [admin.resend(wanted, now + timedelta(seconds=1), 1) for _ in range(3)]
    assert sent == [[parked], [gone], []]
    assert ids(admin, states=["parked"]) == {elsewhere}


def test_what_ended_again_meanwhile_is_not_sent_twice(stores: Stores, admin: DeliveryAdmin) -> None:
    id_ = store(stores, state="refused")
    wanted = DeliveryFilter(states=["refused"])
    _, now = admin.count(wanted)
    later = now + timedelta(milliseconds=1)
    assert admin.resend(wanted, later, 10) == [id_]
    while admin.count(wanted)[1] <= later:
        pass
    stores.deliveries.record([TryRow(UUID(id_).bytes, "refused", 0, True, None, 1.0, "again")])
    assert admin.resend(wanted, later, 10) == []


def test_progress_is_never_sent_again(stores: Stores, admin: DeliveryAdmin) -> None:
    job, head = new_job(), {"callback_url": "http://a:1/"}
    stores.store(requested(job, 0, header=head), progress_rule=lambda *_: True)
    id_ = delivery_id(job.bytes, 0, "progress")
    stores.sink.mark_progress([ProgressRow(job.bytes, 0, 1, 1, 1, "w", "s", 1.0, "", id_)])
    [row] = admin.find(DeliveryFilter(), 10)
    assert row.kind == "progress"
    assert admin.count(DeliveryFilter())[0] == 0


def test_the_health_of_a_destination_is_seen_by_operators_and_its_tenants(stores: Stores, admin: DeliveryAdmin) -> None:
    store(stores, "http://a:1/x")
    store(stores, "http://a:1/y")
    store(stores, "http://b/", "two", "delivered")
    noted = [
        DestinationTries("one", "a:1", 3, 1, "It answered 500."),
        DestinationTries("two", "b:80", 5, 0, None),
        DestinationTries("two", "c:9", 0, 2, "No answer."),
    ]
    stores.deliveries.note_destinations(noted, [NotedCircuit("c:9", 60_000), NotedCircuit("b:80", 60_000)])
    stores.deliveries.note_destinations([DestinationTries("one", "a:1", 1, 0, None)], [NotedCircuit("b:80", None)])
    a, b, c = admin.destinations()
    assert (a.destination, a.pending, a.delivered, a.failed, a.success_rate) == ("a:1", 2, 4, 1, 0.8)
    assert (a.last_error, a.circuit) == ("It answered 500.", "closed")
    assert (b.destination, b.pending, b.success_rate, b.circuit) == ("b:80", 0, 1.0, "closed")
    assert (c.destination, c.circuit, c.success_rate, c.retry_at is not None) == ("c:9", "open", 0.0, True)
    assert [one.destination for one in admin.destinations("two")] == ["b:80", "c:9"]
