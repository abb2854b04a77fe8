"""Port for reads of stored jobs, for people and programs. Implementations: `postgres/job_store.py`, `memory/job_store.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from connectors.views import Backlog, JobGroup, JobRow, JobStatus, JobView


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Conditions on jobs, all of which must hold; None: any. `tenant` None: jobs of all tenants.

    `since` (inclusive) and `until` (exclusive): of the request of the current run."""

    tenant: str | None = None
    state: str | None = None
    processor: str | None = None
    case_id: str | None = None
    batch_id: str | None = None
    external_id: str | None = None
    upload_id: str | None = None
    error_code: str | None = None
    fingerprint: str | None = None
    model_version: str | None = None
    since: datetime | None = None
    until: datetime | None = None


#: A filter that every job passes.
ANY_JOB = JobFilter()
#: What `groups` counts by, and the fields of a group that each has.
GROUPINGS = {"error": ("processor", "error_code", "fingerprint"), "state": ("state",), "processor": ("processor",)}


class JobStore(Protocol):
    """Used by one thread; a context manager that disconnects on exit.

    Every call raises Unreachable while the store does not answer, and UsageError if `sluice migrate` was never run.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def job(self, job_id: str, run: int | None = None) -> JobView | None:
        """Return a job with its current run, or with the given run; None if it is unknown."""
        ...

    def find(
        self, wanted: JobFilter = ANY_JOB, *, limit: int = 50, after: tuple[datetime, str] | None = None
    ) -> list[JobRow]:
        """Return jobs, newest first. `after`: `(requested_at, job_id)` of the last row of the previous page."""
        ...

    def groups(self, wanted: JobFilter, by: str, *, limit: int = 100) -> list[JobGroup]:
        """Count jobs by one of GROUPINGS, the largest group first. By error, jobs without one are left out."""
        ...

    def status(self, job_id: str, run: int | None = None, tenant: str | None = None) -> JobStatus | None:
        """Return the status of a job with its current run, or the given run; None if unknown or not the given tenant's."""
        ...

    def statuses(
        self, wanted: JobFilter, *, limit: int = 50, after: tuple[datetime, str] | None = None
    ) -> list[JobStatus]:
        """Return jobs with their current runs, newest first. `after`: `(created_at, job_id)` of the last job before."""
        ...

    def statuses_of(self, job_ids: Sequence[str], tenant: str | None = None) -> list[JobStatus]:
        """Return the jobs with these ids, with their current runs. Unknown ones and those of other tenants are left out."""
        ...

    def counts(self, *, batch_id: str | None = None) -> dict[str, int]:
        """Count jobs by the state of their current runs: all jobs, or those of one batch."""
        ...

    def backlog(self, since: datetime | None = None) -> Backlog:
        """Count the open jobs, and those that ended after `since`. Costs milliseconds, and more with many open jobs."""
        ...

    def close(self) -> None: ...
