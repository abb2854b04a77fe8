"""Deliveries in memory: the statements `claim_deliveries`, `held_deliveries`, `record_tries` and the ones on notifiers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from connectors.delivery_store import (
    CLAIM_BYTES,
    NOT_BUSY,
    PER_QUEUE,
    QUEUES,
    Busy,
    ClaimedDelivery,
    TryRow,
    authority_of,
)
from connectors.memory.database import MemoryStore
from connectors.memory.tables import StoredDelivery, StoredTry

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class MemoryDeliveryStore(MemoryStore):
    """Implements `connectors.delivery_store.DeliveryStore`."""

    def renew(self, notifier: bytes, lease_s: float) -> None:
        with self._db.reading() as now:
            self._db.notifiers[notifier] = now + timedelta(seconds=lease_s)

    def abort(self) -> None:
        """No call here waits for long."""

    def retire(self, notifier: bytes) -> None:
        with self._db.reading():
            if notifier in self._db.notifiers:
                self._db.notifiers[notifier] = _LONG_AGO

    def claim(
        self, notifier: bytes, limit: int, max_bytes: int = CLAIM_BYTES, busy: Busy = NOT_BUSY
    ) -> list[ClaimedDelivery]:
        with self._db.reading() as now:
            alive = {name for name, alive_until in self._db.notifiers.items() if alive_until >= now}
            for row in self._db.deliveries.values():
                if row.state == "pending" and row.notifier not in alive:
                    row.notifier = None
            taken = _bounded(self._in_turns(now, busy), limit, max_bytes)
            for row in taken:
                row.notifier = notifier
            return self._claimed(taken)

    def held(self, notifier: bytes, limit: int, max_bytes: int = CLAIM_BYTES) -> list[ClaimedDelivery]:
        with self._db.reading():
            held = [row for row in self._db.deliveries.values() if (row.state, row.notifier) == ("pending", notifier)]
            return self._claimed(_bounded(sorted(held, key=lambda row: row.due_at), limit, max_bytes))

    def _in_turns(self, now: datetime, busy: Busy) -> list[StoredDelivery]:
        """Return the due deliveries that no notifier holds: the first of each queue, then the second of each, and so on."""
        queues: dict[tuple[str, str], list[StoredDelivery]] = {}
        for row in sorted(self._db.deliveries.values(), key=lambda row: row.due_at):
            queue = row.tenant, authority_of(row.destination)
            if row.state != "pending" or row.notifier is not None or row.due_at > now:
                continue
            if queue[0] not in busy.tenants and queue[1] not in busy.destinations:
                queues.setdefault(queue, []).append(row)
        first = [sorted(queues.items())[n][1][:PER_QUEUE] for n in range(min(len(queues), QUEUES))]
        return [queue[turn] for turn in range(PER_QUEUE) for queue in first if turn < len(queue)]

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


def _bounded(rows: Iterable[StoredDelivery], limit: int, max_bytes: int) -> list[StoredDelivery]:
    """Return the first rows, up to a number and until they have so many bytes."""
    taken: list[StoredDelivery] = []
    size = 0
    for row in rows:
        if len(taken) >= limit or size >= max_bytes:
            break
        taken.append(row)
        size += row.bytes
    return taken


def _record(delivery: StoredDelivery, row: TryRow, now: datetime) -> None:
    if delivery.state == "pending" or row.state == "delivered":
        delivery.state = row.state
        delivery.ended_at = None if row.state == "pending" else now
    delivery.tries += row.counts
    delivery.due_at = now + timedelta(milliseconds=row.due_in_ms)
    delivery.notifier = None
    if row.counts:
        delivery.try_rows.append(StoredTry(delivery.tries, now, row.status, row.ms, row.error))
