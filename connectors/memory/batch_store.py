"""Batches in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from connectors.batch_store import BatchRow, BatchView, progress
from connectors.memory.database import MemoryStore
from connectors.memory.payload_store import accept
from connectors.memory.tables import OPEN, StoredBatch, StoredRun
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
            if row is None or tenant not in (None, row.tenant):
                return None
            runs = self._runs(batch_id, row.tenant)
            outcomes = [self._db.outcomes.get((run.job_id, run.run)) for run in runs]
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

    def open_runs(self, batch_id: str, tenant: str) -> list[tuple[str, int]]:
        with self._db.reading():
            read = [(run.job_id, run.run) for run in self._runs(batch_id, tenant) if run.state in OPEN]
            unread = [
                key
                for key, row in self._db.payloads.items()
                if (row.batch_id, row.tenant) == (batch_id, tenant) and row.job_id not in self._db.jobs
            ]
            return [(str(UUID(bytes=job_id)), run) for job_id, run in (*read, *unread)]

    def _runs(self, batch_id: str, tenant: str) -> list[StoredRun]:
        jobs = (job for job in self._db.jobs.values() if (job.batch_id, job.tenant) == (batch_id, tenant))
        runs = (self._db.runs.get((job.job_id, job.current_run)) for job in jobs)
        return [run for run in runs if run is not None]
