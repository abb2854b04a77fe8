"""Port for batches: many jobs that were submitted with one handle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol, Self

from connectors.payload_store import CHECK_IN_S, Payload
from schemas.states import TERMINAL, State

#: Seconds between two looks at an open batch. A look counts its jobs.
LEAST_WAIT_S, LONGEST_WAIT_S = 0.2, 10.0


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

    @property
    def ended(self) -> int:
        """Return the number of jobs that have ended."""
        return sum(number for state, number in self.counts.items() if State(state) in TERMINAL)

    def event_data(self) -> dict[str, Any]:
        """Return the data of the batch's final callback, as `GET /v1/batches/{id}` shows the batch."""
        path = f"/v1/batches/{self.batch_id}"
        return {
            "batch_id": self.batch_id,
            "processor": self.processor,
            "total": self.total,
            "counts": self.counts,
            "ended": self.ended,
            "done": True,
            "created_at": self.created_at.astimezone(UTC).isoformat(),
            "finished_at": None if self.decided_at is None else self.decided_at.astimezone(UTC).isoformat(),
            "links": {"self": path, "jobs": f"/v1/jobs?batch_id={self.batch_id}"},
        }

    def look_again_in_s(self, now: datetime) -> float | None:
        """Return the seconds until an open batch is worth another look: half of the time that the rest needs at its pace so
        far. None if all jobs have ended."""
        if self.ended >= self.total:
            return None
        left = (self.total - self.ended) / max(self.ended, 1)
        return min(max((now - self.created_at).total_seconds() * left / 2, LEAST_WAIT_S), LONGEST_WAIT_S)


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
