"""Handles due runs: publishes the next attempt of a retry, releases a job with a start time, ends a run at its deadline.

Read the requests from the log ─▶ publish ─▶ wait for the delivery reports ─▶ mark them done. If the leader dies between
publishing and marking, the next one publishes again. That is safe: two requests of one attempt still give one outcome.
"""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import Message

from connectors.due_store import DoneRow, DueRun
from schemas.errors import ErrorCode, SluiceError, Unreachable
from schemas.records import Coordinates
from streams import logs
from streams.timekeeper.duty import DutyContext, request_coordinates

log = logs.get("timekeeper")

BATCH = 2000


class DueRuns:
    """Publishes a record for each due run, then marks the run as done."""

    def __init__(self, context: DutyContext) -> None:
        self._context = context

    def run_once(self) -> bool:
        dues = self._context.store.due(BATCH)
        if dues:
            requests = self._context.requests(dues)
            rows = [_done_row(due, self._publish_or_skip(due, requests)) for due in dues]
            self._context.publisher.flush()
            self._context.store.mark_done(rows)
            log.info("published", count=sum(row.done for row in rows), postponed=sum(not row.done for row in rows))
        return len(dues) == BATCH

    def _publish_or_skip(self, due: DueRun, requests: Mapping[Coordinates, Message | None]) -> bool:
        """Publish the run's record; False if this timekeeper can't (the processor's contract is not installed, for example)."""
        try:
            self._publish(due, requests)
        except Unreachable:
            raise
        except SluiceError as error:
            log.error("duty_skipped", job_id=due.job_id, kind=due.kind, code=str(error.code), reason=str(error))
            return False
        return True

    def _publish(self, due: DueRun, requests: Mapping[Coordinates, Message | None]) -> None:
        writer, coordinates = self._context.writer, request_coordinates(due)
        message = requests[coordinates] if coordinates is not None else None
        request = writer.decode(message, due.job_id)
        if due.kind == "deadline":
            header = request["header"] if request else None
            writer.end_run(
                due, header, coordinates, ErrorCode.DEADLINE_EXCEEDED, "The deadline passed before it was done."
            )
        elif request is None or coordinates is None or message is None:
            writer.end_run(due, None, None, ErrorCode.NOT_FOUND, "Its request is no longer in the log.")
        else:
            writer.republish(due, request, coordinates, message)


def _done_row(due: DueRun, done: bool) -> DoneRow:
    return DoneRow(bytes.fromhex(due.job_id.replace("-", "")), due.run, due.attempt, due.kind, done)
