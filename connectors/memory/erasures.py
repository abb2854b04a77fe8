"""Keeps contents of erased cases out of a sink's batch, in memory, as `store_batch.sql` does (docs/adr/0030)."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.memory.database import MemoryDatabase
from connectors.memory.tables import StoredJob
from connectors.retention_store import case_sha256
from connectors.sink_store import HistoryRow, RunRow


def without_erased_fields(database: MemoryDatabase, job: StoredJob) -> StoredJob:
    """Return a new job, without its fields if its case was erased after it was created."""
    if job.case_id is None:
        return job
    name = case_sha256(job.tenant, job.case_id)
    for each in database.erasures:
        if (each.tenant, each.case_sha256) == (job.tenant, name) and each.erased_at >= job.created_at:
            job.erased_at, job.case_sha256, job.input_sha256 = each.erased_at, name, ""
            job.case_id = job.external_id = job.upload_id = job.callback_url = job.labels = None
            break
    return job


def without_erased_contents(
    database: MemoryDatabase, runs: Iterable[RunRow], history: Iterable[HistoryRow]
) -> tuple[list[RunRow], list[HistoryRow]]:
    """Return the rows of a batch, those of erased jobs without contents and callbacks."""

    def erased(job_id: bytes) -> bool:
        job = database.jobs.get(job_id)
        return job is not None and job.erased_at is not None

    kept = [
        row._replace(output=None, refs=None, error_message=None, run_input_sha256=None, delivery_id=None)
        if erased(row.job_id)
        else row
        for row in runs
    ]
    return kept, [row._replace(body=None) if erased(row.job_id) else row for row in history]
