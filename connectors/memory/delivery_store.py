"""Deliveries in memory: the statements `claim_deliveries`, `held_deliveries`, `record_tries` and the ones on notifiers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from connectors.delivery_store import ClaimedDelivery, TryRow
from connectors.memory.database import MemoryStore
from connectors.memory.tables import StoredDelivery, StoredTry

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class MemoryDeliveryStore(MemoryStore):
    """Implements `connectors.delivery_store.DeliveryStore`."""

    def renew(self, notifier: bytes, lease_s: float) -> None:
        with self._db.reading() as now:
            self._db.notifiers[notifier] = now + timedelta(seconds=lease_s)

    def retire(self, notifier: bytes) -> None:
        with self._db.reading():
            if notifier in self._db.notifiers:
                self._db.notifiers[notifier] = _LONG_AGO

    def claim(self, notifier: bytes, limit: int) -> list[ClaimedDelivery]:
        with self._db.reading() as now:
            dead = {name for name, alive_until in self._db.notifiers.items() if alive_until < now}
            pending = [row for row in self._db.deliveries.values() if row.state == "pending"]
            free = sorted(
                (row.due_at, row.delivery_id) for row in pending if row.notifier is None and row.due_at <= now
            )
            taken = [self._db.deliveries[delivery_id] for _, delivery_id in free[:limit]]
            taken += [row for row in pending if row.notifier in dead][:limit]
            for row in taken:
                row.notifier = notifier
            return self._claimed(taken)

    def held(self, notifier: bytes, limit: int) -> list[ClaimedDelivery]:
        with self._db.reading():
            held = [row for row in self._db.deliveries.values() if (row.state, row.notifier) == ("pending", notifier)]
            return self._claimed(held[:limit])

    def record(self, rows: Sequence[TryRow]) -> None:
        with self._db.writing() as now:
            for row in rows:
                delivery = self._db.deliveries.get(row.delivery_id)
                if delivery is not None:
                    _record(delivery, row, now)

    def _claimed(self, deliveries: Iterable[StoredDelivery]) -> list[ClaimedDelivery]:
        known = [
            row for row in deliveries if (row.job_id, row.run) in self._db.outcomes and row.job_id in self._db.jobs
        ]
        return [ClaimedDelivery(row.delivery_id, row.destination, row.tries, self._columns(row)) for row in known]

    def _columns(self, delivery: StoredDelivery) -> dict[str, Any]:
        """Return the columns that the callback body is made from."""
        job, outcome = self._db.jobs[delivery.job_id], self._db.outcomes[delivery.job_id, delivery.run]
        return {
            "job_id": str(UUID(bytes=delivery.job_id)),
            "run": delivery.run,
            "attempt": outcome.attempt,
            "processor": job.processor,
            "status": outcome.status,
            "tenant": job.tenant,
            "external_id": job.external_id,
            "case_id": job.case_id,
            "upload_id": job.upload_id,
            "batch_id": job.batch_id,
            "model_version": outcome.model_version,
            "output": None if outcome.output is None else json.loads(outcome.output),
            "error_code": outcome.error_code,
            "error_message": outcome.error_message,
            "output_refs": None if outcome.refs is None else json.loads(outcome.refs),
            "decided_at": outcome.decided_at,
        }


def _record(delivery: StoredDelivery, row: TryRow, now: datetime) -> None:
    if delivery.state != "delivered":
        delivery.state = row.state
    delivery.tries += row.counts
    delivery.due_at = now + timedelta(milliseconds=row.due_in_ms)
    delivery.notifier = None
    delivery.ended_at = None if row.state == "pending" else now
    if row.counts:
        delivery.try_rows.append(StoredTry(delivery.tries, now, row.status, row.ms, row.error))
