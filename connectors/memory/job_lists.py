"""Lists and counts of jobs in memory, by a filter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any
from uuid import UUID

from connectors.job_store import GROUPINGS, JobFilter
from connectors.memory.database import MemoryDatabase
from connectors.memory.tables import StoredRun
from connectors.views import JobGroup, JobRow


def row_of(database: MemoryDatabase, run: StoredRun) -> JobRow:
    job, outcome = database.jobs[run.job_id], database.outcomes.get((run.job_id, run.run))
    return JobRow(
        job_id=str(UUID(bytes=run.job_id)),
        run=run.run,
        processor=job.processor,
        state=run.state,
        attempt=run.attempt,
        requested_at=run.requested_at,
        updated_at=run.updated_at,
        external_id=job.external_id,
        error_code=None if outcome is None else outcome.error_code,
        tenant=job.tenant,
        case_id=job.case_id,
        batch_id=job.batch_id,
        model_version=None if outcome is None else outcome.model_version,
        fingerprint=None if outcome is None else outcome.fingerprint,
        error_message=None if outcome is None else outcome.error_message,
        finished_at=None if outcome is None else outcome.decided_at,
    )


def is_wanted(database: MemoryDatabase, run: StoredRun, wanted: JobFilter) -> bool:
    """True if all conditions of the filter hold for a job with this current run."""
    if wanted.since is not None and run.requested_at < wanted.since:
        return False
    if wanted.until is not None and run.requested_at >= wanted.until:
        return False
    parts = (run, database.jobs[run.job_id], database.outcomes.get((run.job_id, run.run)))
    return all(
        value is None or _field(parts, name) == value
        for name, value in ((each.name, getattr(wanted, each.name)) for each in fields(wanted))
        if name not in ("since", "until")
    )


def _field(parts: Iterable[Any], name: str) -> Any:
    return next((getattr(part, name) for part in parts if hasattr(part, name)), None)


def grouped(rows: Iterable[JobRow], by: str, limit: int) -> list[JobGroup]:
    groups: dict[tuple[str | None, ...], list[JobRow]] = {}
    for row in rows:
        if by != "error" or row.error_code is not None:
            groups.setdefault(tuple(getattr(row, name) for name in GROUPINGS[by]), []).append(row)
    ordered = sorted(groups.items(), key=lambda one: (-len(one[1]), tuple(key or "" for key in one[0])))
    return [
        JobGroup(
            len(of),
            min(row.job_id for row in of),
            min(row.requested_at for row in of),
            max(row.requested_at for row in of),
            error_message=min((row.error_message for row in of if row.error_message is not None), default=None),
            **dict(zip(GROUPINGS[by], key, strict=True)),
        )
        for key, of in ordered[:limit]
    ]
