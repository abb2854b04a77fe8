"""Handles expired leases, whose workers are gone or cut off: the store makes their jobs claimable again.

After too many crashes the job is considered the cause: it ends as WORKER_LOST, and its request becomes a dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.due_store import DueRun
from connectors.lease_store import Expired
from schemas import headers
from schemas.errors import ErrorCode
from streams import logs
from streams.timekeeper.duty import DutyContext, unlisted_run
from streams.timekeeper.ending import RunEnd

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
        self._end([lease for lease in expired if lease.given_up])
        return len(expired) == BATCH

    def _end(self, leases: Sequence[Expired]) -> None:
        """Publish the ends of these jobs, and their dead letters.

        The store returns a lease that was given up every minute until its run has ended.
        """
        context = self._context
        ended = context.ender.publish(
            RunEnd(due, ErrorCode.WORKER_LOST, MESSAGE, context.header_of_value(lease.value, due), lease.coordinates)
            for lease in leases
            for due in (_due_run(lease),)
        )
        dead = {key: lease for lease in leases if (key := (lease.job_id, lease.run)) in ended}
        topic = context.settings.topics.dead_letters
        for key, lease in dead.items():
            headers = dict(lease.headers) | _dead_letter_headers(lease)
            context.publisher.put(key, topic, lease.key, lease.value, headers)
        refused = context.publisher.flush()
        for key, lease in dead.items():
            if key in refused:  # too large with our headers: its coordinates still find it
                context.publisher.put(key, topic, lease.key, None, _dead_letter_headers(lease))
        for key, error in context.publisher.flush().items():
            log.error("dead_letter_not_published", run=key, code=error.name())


def _due_run(lease: Expired) -> DueRun:
    return unlisted_run(lease.job_id, lease.run, lease.attempt, "lease", lease.processor)


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
