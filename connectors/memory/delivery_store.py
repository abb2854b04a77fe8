"""Deliveries in memory: the statements `claim_deliveries`, `held_deliveries`, `record_tries` and the ones on notifiers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from connectors.delivery_store import (
    CLAIM_BYTES,
    HEALTH_KEPT,
    HOLD_S,
    NOT_BUSY,
    PER_QUEUE,
    QUEUES,
    Busy,
    ClaimedDelivery,
    DestinationTries,
    NotedCircuit,
    ProgressTry,
    TryRow,
    authority_of,
)
from connectors.memory.database import MemoryStore
from connectors.memory.progress_callbacks import record_progress
from connectors.memory.tables import StoredDelivery, StoredHealth, StoredOutcome, StoredTry

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
                row.held_until = now + timedelta(seconds=HOLD_S) if row.kind == "progress" else None
            return self._claimed(taken)

    def held(self, notifier: bytes, limit: int, max_bytes: int = CLAIM_BYTES) -> list[ClaimedDelivery]:
        with self._db.reading() as now:
            mine = [row for row in self._db.deliveries.values() if (row.state, row.notifier) == ("pending", notifier)]
            for row in mine:
                if row.kind == "progress" and not row.held(now):
                    row.notifier = None
            held = [row for row in mine if row.kind != "progress"]
            return self._claimed(_bounded(sorted(held, key=lambda row: row.due_at), limit, max_bytes))

    def _in_turns(self, now: datetime, busy: Busy) -> list[StoredDelivery]:
        """Return the due deliveries that no notifier holds: the first of each queue, then the second of each, and so on."""
        queues: dict[tuple[str, str], list[StoredDelivery]] = {}
        for row in sorted(self._db.deliveries.values(), key=lambda row: row.due_at):
            queue = row.tenant, authority_of(row.destination)
            if row.state != "pending" or row.notifier is not None or row.due_at > now or row.held(now):
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

    def record_progress(self, rows: Sequence[ProgressTry]) -> None:
        with self._db.writing() as now:
            for row in rows:
                record_progress(self._db, row, now)

    def note_destinations(self, tries: Sequence[DestinationTries], circuits: Sequence[NotedCircuit]) -> None:
        with self._db.reading() as now:
            for row in tries:
                key = row.tenant, row.destination, now.replace(minute=0, second=0, microsecond=0)
                health = self._db.destination_hours.setdefault(key, StoredHealth())
                health.delivered += row.delivered
                health.failed += row.failed
                if row.last_error is not None:
                    health.last_error, health.last_error_at = row.last_error, now
            for name, retry_in_ms in circuits:
                retry_at = None if retry_in_ms is None else now + timedelta(milliseconds=retry_in_ms)
                self._db.circuits[name] = retry_at, now
            for hour in [hour for hour in self._db.destination_hours if hour[2] < now - HEALTH_KEPT]:
                del self._db.destination_hours[hour]

    def _claimed(self, deliveries: Iterable[StoredDelivery]) -> list[ClaimedDelivery]:
        return [
            ClaimedDelivery(
                one.delivery_id, one.destination, one.tries - one.tries_before, columns, one.kind, one.sequence
            )
            for one in deliveries
            if (columns := self._columns(one)) is not None
        ]

    def _columns(self, delivery: StoredDelivery) -> dict[str, Any] | None:
        """Return the columns that the callback body is made from; None for an outcome that was deleted."""
        key = (delivery.job_id, delivery.run)
        own = {
            "job_id": str(UUID(bytes=delivery.job_id)),
            "run": delivery.run,
            "tenant": delivery.tenant,
            "callback_profile": delivery.profile,
            "body": delivery.body,
            "created_at": delivery.created_at,
            "processor": None,
            "status": None,
        }
        if delivery.kind == "batch":
            return own
        job, outcome, run = self._db.jobs.get(delivery.job_id), self._db.outcomes.get(key), self._db.runs.get(key)
        if job is None or (delivery.kind == "outcome" and outcome is None):
            return None
        names = ("processor", "tenant", "external_id", "case_id", "upload_id", "batch_id")
        own |= {name: getattr(job, name) for name in names}
        if outcome is not None:
            own |= _outcome_columns(outcome)
        if delivery.kind == "progress" and run is not None:
            own |= {name: getattr(run, name) for name in _PROGRESS}
        return own


_PROGRESS = ("attempt", "execution", "sequence", "stage", "percent", "message", "updated_at")


def _outcome_columns(outcome: StoredOutcome) -> dict[str, Any]:
    names = ("attempt", "status", "model_version", "error_code", "error_message", "decided_at")
    return {
        **{name: getattr(outcome, name) for name in names},
        "output": None if outcome.output is None else json.loads(outcome.output),
        "output_refs": None if outcome.refs is None else json.loads(outcome.refs),
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
