"""Batches in memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from connectors.batch_store import BatchRow, BatchView, progress
from connectors.memory.database import MemoryDatabase, MemoryStore
from connectors.memory.payload_store import accept
from connectors.memory.tables import OPEN, StoredBatch, StoredDelivery, StoredRun
from connectors.payload_store import CHECK_IN_S, Payload


class MemoryBatchStore(MemoryStore):
    """Implements `connectors.batch_store.BatchStore`."""

    def accept(self, batch: BatchRow, payloads: Sequence[Payload], check_in_s: float = CHECK_IN_S) -> bool:
        with self._db.writing() as now:
            if batch.batch_id in self._db.batches:
                return False
            self._db.batches[batch.batch_id] = StoredBatch(*batch, created_at=now)
            for payload in payloads:
                accept(self._db, payload, now + timedelta(seconds=check_in_s), now)
            return True

    def batch(self, batch_id: str, tenant: str | None = None) -> BatchView | None:
        with self._db.reading():
            row = self._db.batches.get(batch_id)
            return None if row is None or tenant not in (None, row.tenant) else view(self._db, row)

    def open_runs(self, batch_id: str, tenant: str) -> list[tuple[str, int]]:
        with self._db.reading():
            read = [(run.job_id, run.run) for run in _runs(self._db, batch_id, tenant) if run.state in OPEN]
            unread = [
                key
                for key, row in self._db.payloads.items()
                if (row.batch_id, row.tenant) == (batch_id, tenant) and row.job_id not in self._db.jobs
            ]
            return [(str(UUID(bytes=job_id)), run) for job_id, run in (*read, *unread)]


def view(db: MemoryDatabase, row: StoredBatch) -> BatchView:
    runs = _runs(db, row.batch_id, row.tenant)
    outcomes = [db.outcomes.get((run.job_id, run.run)) for run in runs]
    decided = [outcome.decided_at for outcome in outcomes if outcome is not None]
    return BatchView(
        row.batch_id,
        row.tenant,
        row.processor,
        row.total,
        row.inputs_sha256,
        row.callback_url,
        row.callback_profile,
        row.created_at,
        row.ended_at,
        max(decided, default=None),
        progress(row.total, dict(Counter(run.state for run in runs)), row.ended_at is not None),
    )


def end_batches(db: MemoryDatabase, limit: int, now: datetime) -> tuple[int, int]:
    due = [row for row in db.batches.values() if row.ended_at is None and row.check_at <= now]
    due = sorted(due, key=lambda row: row.check_at)[:limit]
    return len(due), sum(_end(db, row, now) for row in due)


def _end(db: MemoryDatabase, row: StoredBatch, now: datetime) -> bool:
    """End a batch, or look at it again later. True if it has ended."""
    batch = view(db, row)
    wait = batch.look_again_in_s(now)
    if wait is not None:
        row.check_at = now + timedelta(seconds=wait)
        return False
    row.ended_at = now
    if row.callback_url:
        id_ = UUID(row.batch_id).bytes
        body = json.loads(json.dumps(batch.event_data()))
        db.deliveries[id_] = StoredDelivery(
            *(id_, id_, 0, "batch", 0, row.callback_url, "pending", 0, now, None, row.tenant),
            profile=row.callback_profile,
            body=body,
            created_at=now,
        )
    return True


def _runs(db: MemoryDatabase, batch_id: str, tenant: str) -> list[StoredRun]:
    jobs = (job for job in db.jobs.values() if (job.batch_id, job.tenant) == (batch_id, tenant))
    runs = (db.runs.get((job.job_id, job.current_run)) for job in jobs)
    return [run for run in runs if run is not None]
