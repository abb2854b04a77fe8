"""Jobs in flight for tests that need no Kafka message."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.headers import Header
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob, JobOrigin


def new_job(
    origin: JobOrigin,
    offset: int = 0,
    *,
    key: bytes | None = None,
    value: bytes = b"x",
    headers: Sequence[Header] = (),
) -> InFlightJob:
    """Return a job that was just polled."""
    return InFlightJob(origin, offset, key, value, headers, 1_700_000_000_000, len(value), 7)


def admitted(in_flight: InFlightJobs, origin: JobOrigin, *offsets: int) -> list[InFlightJob]:
    """Admit a job for each offset."""
    return in_flight.admit([new_job(origin, offset) for offset in offsets])


def done(in_flight: InFlightJobs, *jobs: InFlightJob) -> None:
    """Answer these and confirm their results."""
    for job in jobs:
        in_flight.answered(job.slot, 1)
    in_flight.confirmed(jobs)
