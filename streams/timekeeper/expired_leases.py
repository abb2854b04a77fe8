"""Handles expired leases, whose workers are gone or cut off: the store makes their jobs claimable again.

After too many crashes the job is considered the cause: it ends as WORKER_LOST, and its request becomes a dead letter.
"""

from __future__ import annotations

from datetime import UTC, datetime

from connectors.due_store import DueRun
from connectors.lease_store import Expired
from schemas import headers
from schemas.errors import ErrorCode, SluiceError, Unreachable
from streams import logs
from streams.timekeeper.duty import DutyContext

log = logs.get("timekeeper")

BATCH = 500
MESSAGE = "Every worker that held the job was lost, or its process died."


class ExpiredLeases:
    """Makes jobs with expired leases claimable again, and ends those that were given up."""

    def __init__(self, context: DutyContext) -> None:
        self._context = context

    def run_once(self) -> bool:
        expired = self._context.leases.expire(BATCH)
        for lease in expired:
            log.warning(
                "lease_expired",
                job_id=lease.job_id,
                run=lease.run,
                worker=lease.worker,
                execution=lease.execution,
                given_up=lease.given_up,
            )
            if lease.given_up:
                self._end(lease)
        if any(lease.given_up for lease in expired):
            self._context.publisher.flush()
        return len(expired) == BATCH

    def _end(self, lease: Expired) -> None:
        """Publish the end of the job. If that fails, the store returns the lease every minute until the run has ended."""
        request = self._context.writer.decode_value(lease.value, lease.job_id)
        header = request["header"] if request else None
        try:
            self._context.writer.end_run(_due_run(lease), header, lease.coordinates, ErrorCode.WORKER_LOST, MESSAGE)
        except Unreachable:
            raise
        except SluiceError as error:
            log.error("expiry_skipped", job_id=lease.job_id, code=str(error.code), reason=str(error))
            return
        topic = self._context.settings.topics.dead_letters
        self._context.publisher.put(topic, lease.key, lease.value, dict(lease.headers) | _dead_letter_headers(lease))


def _due_run(lease: Expired) -> DueRun:
    return DueRun(
        job_id=lease.job_id,
        run=lease.run,
        attempt=lease.attempt,
        kind="lease",
        processor=lease.processor,
        created_at=datetime.now(UTC),  # used only if the request can't be read
        topic=None,
        topic_id=None,
        partition=None,
        offset=None,
    )


def _dead_letter_headers(lease: Expired) -> dict[str, bytes]:
    request = lease.coordinates
    return headers.dead_letter_headers(
        reason=ErrorCode.WORKER_LOST,
        message=MESSAGE,
        topic=request.topic if request else "",
        partition=request.partition if request else 0,
        offset=request.offset if request else -1,
        attempts=lease.execution,
        worker=lease.worker,
    )
