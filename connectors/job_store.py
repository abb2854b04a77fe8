"""Port for reads of stored jobs, for people and programs. Implementations: `postgres/job_store.py`, `memory/job_store.py`."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, Self

from connectors.views import JobRow, JobView


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
        self,
        *,
        state: str | None = None,
        processor: str | None = None,
        limit: int = 50,
        after: tuple[datetime, str] | None = None,
    ) -> list[JobRow]:
        """Return jobs, newest first. `after`: `(requested_at, job_id)` of the last row of the previous page."""
        ...

    def counts(self, *, batch_id: str | None = None) -> dict[str, int]:
        """Count jobs by the state of their current runs: all jobs, or those of one batch."""
        ...

    def close(self) -> None: ...
