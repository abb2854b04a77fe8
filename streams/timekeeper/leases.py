"""Leases that ran out: their workers are gone, or cut off. The jobs are claimable again as soon as that is noticed.

One that was lost too often is taken for the killer of its workers: it ends as WORKER_LOST, and its request is a dead letter.
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
    """A duty."""

    def __init__(self, desk: DutyContext) -> None:
        self._desk = desk

    def turn(self) -> bool:
        expired = self._desk.leases.expire(BATCH)
        for one in expired:
            told = {"job_id": one.job_id, "run": one.run, "worker": one.worker, "execution": one.execution}
            log.warning("lease_expired", **told, given_up=one.given_up)
            if one.given_up:
                self._end(one)
        if any(one.given_up for one in expired):
            self._desk.outbox.settle()
        return len(expired) == BATCH

    def _end(self, lost: Expired) -> None:
        """Should this get lost, the store gives it again in a minute, until the run has ended."""
        plain = self._desk.writer.read(lost.value, lost.job_id)
        header = plain["header"] if plain else None
        try:
            self._desk.writer.end(_due(lost), header, lost.coordinates, ErrorCode.WORKER_LOST, MESSAGE)
        except Unreachable:
            raise
        except SluiceError as error:
            log.error("expiry_skipped", job_id=lost.job_id, code=str(error.code), reason=str(error))
            return
        self._desk.outbox.put(
            self._desk.settings.topics.dead_letters, lost.key, lost.value, dict(lost.headers) | _why(lost)
        )


def _due(lost: Expired) -> DueRun:
    return DueRun(
        job_id=lost.job_id,
        run=lost.run,
        attempt=lost.attempt,
        kind="lease",
        processor=lost.processor,
        created_at=datetime.now(UTC),  # used only if the request can't be read
        topic=None,
        topic_id=None,
        partition=None,
        offset=None,
    )


def _why(lost: Expired) -> dict[str, bytes]:
    place = lost.coordinates
    return headers.dead_letter_headers(
        reason=ErrorCode.WORKER_LOST,
        message=MESSAGE,
        topic=place.topic if place else "",
        partition=place.partition if place else 0,
        offset=place.offset if place else -1,
        attempts=lost.execution,
        worker=lost.worker,
    )
