"""Handles expired leases, whose workers are gone or cut off: the store makes their jobs claimable again.

After too many crashes the job is considered the cause: it ends as WORKER_LOST, and its request becomes a dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.due_store import DueRun
from connectors.lease_store import Expired
from schemas.errors import ErrorCode
from streams import logs
from streams.timekeeper.dead_requests import DeadRequest, publish_dead
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
            if lease.offered:
                log.info("offer_expired", job_id=lease.job_id, run=lease.run)
                continue
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
        dead = {key: _dead_request(lease) for lease in leases if (key := (lease.job_id, lease.run)) in ended}
        publish_dead(context.publisher, context.settings.topics.dead_letters, dead)


def _due_run(lease: Expired) -> DueRun:
    return unlisted_run(lease.job_id, lease.run, lease.attempt, "lease", lease.processor)


def _dead_request(lease: Expired) -> DeadRequest:
    return DeadRequest(
        lease.key,
        lease.value,
        dict(lease.headers),
        lease.coordinates,
        ErrorCode.WORKER_LOST,
        MESSAGE,
        lease.execution,
        lease.worker,
    )
