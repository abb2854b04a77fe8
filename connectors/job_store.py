"""What people and programs ask of the stored jobs. The one on Postgres is `postgres/job_store.py`, its twin in `memory/`."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, Self

from connectors.views import JobRow, JobView


class JobStore(Protocol):
    """Used by one thread; a context manager that disconnects. Every call raises Unreachable, and UsageError where
    `sluice migrate` was never run."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def job(self, job_id: str, run: int | None = None) -> JobView | None:
        """A job by its current run, or by the given one; None when it was never heard of."""
        ...

    def find(
        self,
        *,
        state: str | None = None,
        processor: str | None = None,
        limit: int = 50,
        after: tuple[datetime, str] | None = None,
    ) -> list[JobRow]:
        """Jobs, the newest first. `after` is `(requested_at, job_id)` of the last row of the page before."""
        ...

    def counts(self, *, batch_id: str | None = None) -> dict[str, int]:
        """How many jobs stand in each state, by their current runs: all of them, or those of one batch."""
        ...

    def close(self) -> None: ...
