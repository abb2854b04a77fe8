"""Operators' view of deliveries in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from connectors.delivery_admin import (
    ENDED,
    HEALTH_OF,
    DeliveryFilter,
    DeliveryRow,
    DestinationView,
    HealthRow,
    merged,
)
from connectors.delivery_store import authority_of
from connectors.memory.database import MemoryStore
from connectors.memory.tables import StoredDelivery
from connectors.views import TryView


class MemoryDeliveryAdmin(MemoryStore):
    """Implements `connectors.delivery_admin.DeliveryAdmin`."""

    def find(self, wanted: DeliveryFilter, limit: int, after: tuple[datetime, str] | None = None) -> list[DeliveryRow]:
        with self._db.reading():
            rows = [_row(one) for one in self._matching(wanted)]
        rows.sort(key=lambda row: (row.created_at, row.delivery_id), reverse=True)
        return [row for row in rows if after is None or (row.created_at, row.delivery_id) < after][:limit]

    def delivery(self, delivery_id: str, tenant: str | None = None) -> tuple[DeliveryRow, list[TryView]] | None:
        with self._db.reading():
            for one in self._matching(DeliveryFilter(tenant, ids=[delivery_id])):
                return _row(one), [TryView(row.n, row.at, row.status, row.ms, row.error) for row in one.try_rows]
        return None

    def count(self, wanted: DeliveryFilter) -> tuple[int, datetime]:
        with self._db.reading() as now:
            return len(self._resendable(wanted)), now

    def resend(self, wanted: DeliveryFilter, ended_before: datetime | None, limit: int) -> list[str]:
        with self._db.writing() as now:
            chosen = [
                one
                for one in self._resendable(wanted)
                if ended_before is None or (one.ended_at is not None and one.ended_at < ended_before)
            ]
            for one in chosen[:limit]:
                one.state, one.due_at, one.ended_at, one.notifier = "pending", now, None, None
                one.tries_before = one.tries
            return [str(UUID(bytes=one.delivery_id)) for one in chosen[:limit]]

    def destinations(self, tenant: str | None = None) -> list[DestinationView]:
        with self._db.reading() as now:
            pending = [(one.destination, 1) for one in self._matching(DeliveryFilter(tenant, states=["pending"]))]
            health = [
                HealthRow(name, row.delivered, row.failed, row.last_error, row.last_error_at)
                for (owner, name, hour), row in self._db.destination_hours.items()
                if tenant in (None, owner) and hour > now - HEALTH_OF
            ]
            return merged(pending, health, self._db.circuits, now)

    def _resendable(self, wanted: DeliveryFilter) -> list[StoredDelivery]:
        found = (one for one in self._matching(wanted) if one.kind != "progress" and one.state in ENDED)
        return sorted(found, key=lambda one: one.created_at)

    def _matching(self, wanted: DeliveryFilter) -> Iterator[StoredDelivery]:
        authorities = wanted.authorities
        for one in self._db.deliveries.values():
            if (
                (wanted.tenant is None or one.tenant == wanted.tenant)
                and (wanted.job_id is None or str(UUID(bytes=one.job_id)) == wanted.job_id)
                and (authorities is None or authority_of(one.destination) in authorities)
                and (wanted.states is None or one.state in wanted.states)
                and (wanted.since is None or one.created_at >= wanted.since)
                and (wanted.until is None or one.created_at < wanted.until)
                and (wanted.ids is None or str(UUID(bytes=one.delivery_id)) in wanted.ids)
            ):
                yield one


def _row(one: StoredDelivery) -> DeliveryRow:
    last = one.try_rows[-1] if one.try_rows else None
    return DeliveryRow(
        delivery_id=str(UUID(bytes=one.delivery_id)),
        job_id=str(UUID(bytes=one.job_id)),
        run=one.run,
        kind=one.kind,
        tenant=one.tenant,
        destination=one.destination,
        profile=one.profile,
        state=one.state,
        tries=one.tries,
        due_at=one.due_at if one.state == "pending" else None,
        created_at=one.created_at,
        ended_at=one.ended_at,
        last_status=None if last is None else last.status,
        last_error=None if last is None else last.error,
    )
