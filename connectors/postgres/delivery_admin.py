"""Operators' view of deliveries on Postgres."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from connectors.delivery_admin import (
    FAILED,
    HEALTH_OF,
    DeliveryFilter,
    DeliveryRow,
    DestinationView,
    HealthRow,
    merged,
)
from connectors.postgres.base import PostgresStore
from connectors.postgres.delivery_store import TENANT
from connectors.views import TryView
from schemas.ids import is_job_id

#: Deliveries have an index that is small but coarse: how far back a list looks first, and then if that is not enough.
WINDOWS = (timedelta(minutes=10), timedelta(hours=6), timedelta(days=7), None)
#: No delivery is older.
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)


class PostgresDeliveryAdmin(PostgresStore):
    """Implements `connectors.delivery_admin.DeliveryAdmin`."""

    application = "sluice deliveries"

    def find(self, wanted: DeliveryFilter, limit: int, after: tuple[datetime, str] | None = None) -> list[DeliveryRow]:
        at, delivery_id = after or (None, None)
        conditions, values = _conditions(wanted)
        conditions["after"] = "true" if after is None else "(d.created_at, d.delivery_id) < (%(at)s, %(after_id)s)"
        values |= {"limit": limit, "at": at, "after_id": delivery_id}
        rows: list[dict[str, Any]] = []
        newest = min(filter(None, (at, wanted.until)), default=datetime.now(UTC))
        for window in (None,) if _indexed(wanted) or newest < _FIRST else WINDOWS:
            conditions["window"] = "true" if window is None else "d.created_at >= %(oldest)s"
            values["oldest"] = None if window is None else newest - window
            rows = self._rows("find_deliveries", conditions, **values)
            if len(rows) >= limit or (window and wanted.since and wanted.since >= newest - window):
                break
        return [DeliveryRow(**row) for row in rows]

    def delivery(self, delivery_id: str, tenant: str | None = None) -> tuple[DeliveryRow, list[TryView]] | None:
        found = self.find(DeliveryFilter(tenant, ids=[delivery_id]), 1) if is_job_id(delivery_id) else []
        if not found:
            return None
        tries = self._rows("delivery_tries", delivery_id=UUID(delivery_id))
        return found[0], [TryView(**row) for row in tries]

    def count(self, wanted: DeliveryFilter) -> tuple[int, datetime]:
        conditions, values = _conditions(wanted)
        [row] = self._rows("count_resendable", conditions, **values)
        return row["deliveries"], row["at"]

    def resend(self, wanted: DeliveryFilter, ended_before: datetime | None, limit: int) -> list[str]:
        conditions, values = _conditions(wanted)
        conditions["before"] = "true" if ended_before is None else "d.ended_at < %(before)s"
        rows = self._rows("resend_deliveries", conditions, **values, before=ended_before, limit=limit)
        return [row["delivery_id"] for row in rows]

    def destinations(self, tenant: str | None = None) -> list[DestinationView]:
        conditions, values = _conditions(DeliveryFilter(tenant))
        pending = self._rows("pending_by_destination", {"tenant": conditions["tenant"]}, tenant=values["tenant"])
        health = self._rows("destination_health", age=HEALTH_OF, tenant=tenant)
        circuits = self._rows("circuits")
        now = circuits[0]["now"] if circuits else datetime.now(UTC)
        return merged(
            [(row["destination"], row["pending"]) for row in pending],
            [HealthRow(**row) for row in health],
            {row["destination"]: (row["retry_at"], row["changed_at"]) for row in circuits},
            now,
        )


def _indexed(wanted: DeliveryFilter) -> bool:
    """True if an index finds these deliveries, whenever they were created."""
    states = wanted.states
    return bool(wanted.job_id or wanted.ids) or (states is not None and set(states) <= {*FAILED, "pending"})


def _conditions(wanted: DeliveryFilter) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the condition of each placeholder, and the values."""
    tenant = wanted.tenant
    ids = None if wanted.ids is None else [UUID(one) for one in wanted.ids if is_job_id(one)]
    job_id = None if wanted.job_id is None or not is_job_id(wanted.job_id) else UUID(wanted.job_id)
    own = "d.tenant = %(tenant)s"
    if tenant is not None and len(tenant) >= TENANT:  # the column holds the beginning of its name
        own = "EXISTS (SELECT FROM jobs AS j WHERE j.job_id = d.job_id AND j.tenant = %(tenant)s)"
    conditions = {
        "tenant": "true" if tenant is None else own,
        "job": "true" if wanted.job_id is None else "d.job_id = %(job_id)s",
        "destination": "true"
        if wanted.destination is None
        else "callback_authority(d.destination) = ANY (%(authorities)s::text[])",
        "states": "true" if wanted.states is None else _states(wanted.states),
        "since": "true" if wanted.since is None else "d.created_at >= %(since)s",
        "until": "true" if wanted.until is None else "d.created_at < %(until)s",
        "ids": "true" if ids is None else "d.delivery_id = ANY (%(ids)s::uuid[])",
    }
    values = {
        "tenant": tenant,
        "job_id": job_id,
        "authorities": wanted.authorities,
        "states": list(wanted.states or ()),
    }
    return conditions, {**values, "since": wanted.since, "until": wanted.until, "ids": ids}


def _states(states: Any) -> str:
    """Return a condition that a partial index may match."""
    if set(states) <= set(FAILED):
        return "d.state = ANY (%(states)s::text[]) AND d.state IN ('parked', 'gone', 'refused')"
    if set(states) == {"pending"}:
        return "d.state = 'pending'"
    return "d.state = ANY (%(states)s::text[])"
