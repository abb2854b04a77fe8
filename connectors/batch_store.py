"""Port for batches: many jobs that were submitted with one handle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, Self

from connectors.payload_store import CHECK_IN_S, Payload


class BatchRow(NamedTuple):
    """A batch as it is submitted. `inputs_sha256`: of all its inputs, in order."""

    batch_id: str
    tenant: str
    processor: str
    total: int
    inputs_sha256: str
    callback_url: str | None = None
    callback_profile: str | None = None


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch and the progress of its jobs. `counts`: jobs by state; a job that the sink has not read yet counts as PENDING.

    `decided_at`: time of the last outcome so far. `ended_at`: time at which the timekeeper found that all jobs have ended.
    """

    batch_id: str
    tenant: str
    processor: str
    total: int
    inputs_sha256: str
    callback_url: str | None
    callback_profile: str | None
    created_at: datetime
    ended_at: datetime | None
    decided_at: datetime | None
    counts: dict[str, int]


class BatchStore(Protocol):
    """Used by one thread; a context manager that disconnects on exit.

    Every call raises Unreachable while the store does not answer, and UsageError if `sluice migrate` was never run.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def accept(self, batch: BatchRow, payloads: Sequence[Payload], check_in_s: float = CHECK_IN_S) -> bool:
        """Accept a batch with all its jobs, or nothing. False if the batch was accepted before."""
        ...

    def batch(self, batch_id: str, tenant: str | None = None) -> BatchView | None:
        """Return a batch; None if it is unknown, or if it is not the given tenant's."""
        ...

    def open_runs(self, batch_id: str, tenant: str) -> list[tuple[str, int]]:
        """Return job id and run of the tenant's jobs in a batch that have not ended, read by the sink or not."""
        ...

    def close(self) -> None: ...


def progress(total: int, counts: dict[str, int], ended: bool) -> dict[str, int]:
    """Count the jobs that the sink has not read yet as PENDING. Those that an ended batch lacks were deleted."""
    unread = 0 if ended else max(total - sum(counts.values()), 0)
    return counts | {"PENDING": counts.get("PENDING", 0) + unread} if unread else counts
