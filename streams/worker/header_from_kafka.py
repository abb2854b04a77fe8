"""Builds a job's header from its Kafka headers, where its record is not decoded or can't be."""

from __future__ import annotations

from datetime import UTC, datetime

from schemas import headers
from schemas.ids import is_job_id
from schemas.records import JobHeader
from streams.worker.protocol import JobFrame


def header_from_kafka(frame: JobFrame, processor: str) -> JobHeader | None:
    """Build a header from Kafka's headers, for a record whose value can't be read; None if they have no job id."""
    fields = frame.headers
    job_id = (fields.get(headers.JOB) or b"").decode(errors="replace")
    if not is_job_id(job_id):
        return None
    return JobHeader(
        job_id=job_id,
        processor=(fields.get(headers.PROCESSOR) or processor.encode()).decode(errors="replace"),
        created_at=datetime.fromtimestamp(max(0, frame.timestamp_ms) / 1000, UTC),
        input_sha256="",
        run=_number(fields.get(headers.RUN), 0),
        attempt=_number(fields.get(headers.ATTEMPT), 1),
        mode=headers.mode_of(fields.get(headers.MODE)),
    )


def _number(text: bytes | None, default: int) -> int:
    try:
        return default if text is None else max(0, min(int(text), 2**31 - 1))
    except ValueError:
        return default
