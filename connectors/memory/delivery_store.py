"""Deliveries in memory: the statements `claim_deliveries`, `held_deliveries`, `record_tries` and those on notifiers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from connectors.delivery_store import ClaimedDelivery, TryRow
from connectors.memory.database import MemoryDatabase
from connectors.memory.tables import StoredDelivery, StoredTry

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class MemoryDeliveryStore:
    """See `connectors.delivery_store.DeliveryStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._db = database

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
            pending = [one for one in self._db.deliveries.values() if one.state == "pending"]
            free = sorted(
                (one.due_at, one.delivery_id) for one in pending if one.notifier is None and one.due_at <= now
            )
            taken = [self._db.deliveries[delivery_id] for _, delivery_id in free[:limit]]
            taken += [one for one in pending if one.notifier in dead][:limit]
            for one in taken:
                one.notifier = notifier
            return self._claimed(taken)

    def held(self, notifier: bytes, limit: int) -> list[ClaimedDelivery]:
        with self._db.reading():
            held = [one for one in self._db.deliveries.values() if (one.state, one.notifier) == ("pending", notifier)]
            return self._claimed(held[:limit])

    def record(self, rows: Sequence[TryRow]) -> None:
        with self._db.writing() as now:
            for row in rows:
                one = self._db.deliveries.get(row.delivery_id)
                if one is not None:
                    _record(one, row, now)

    def close(self) -> None:
        """Nothing to give back."""

    def _claimed(self, deliveries: Iterable[StoredDelivery]) -> list[ClaimedDelivery]:
        known = [
            one for one in deliveries if (one.job_id, one.run) in self._db.outcomes and one.job_id in self._db.jobs
        ]
        return [ClaimedDelivery(one.delivery_id, one.destination, one.tries, self._row(one)) for one in known]

    def _row(self, one: StoredDelivery) -> dict[str, Any]:
        """What the callback's body is made of."""
        job, outcome = self._db.jobs[one.job_id], self._db.outcomes[one.job_id, one.run]
        return {
            "job_id": str(UUID(bytes=one.job_id)),
            "run": one.run,
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


def _record(one: StoredDelivery, row: TryRow, now: datetime) -> None:
    if one.state != "delivered":
        one.state = row.state
    one.tries += row.counts
    one.due_at = now + timedelta(milliseconds=row.due_in_ms)
    one.notifier = None
    one.ended_at = None if row.state == "pending" else now
    if row.counts:
        one.told.append(StoredTry(one.tries, now, row.status, row.ms, row.error))
