"""Cancels requested by users: a waiting job ends at once, a running one only if its worker has not ended it in time.

The worker reads the same command from the log, asks the processor to stop, kills its process after a grace period, and
publishes the result. The result published here competes like any other: if the job was done meanwhile, that result wins and the
cancel came too late.
"""

from __future__ import annotations

from datetime import timedelta

from connectors.due_store import DueRun
from schemas.errors import ErrorCode, SluiceError, Unreachable
from streams import logs
from streams.timekeeper.duty import DutyContext, request_coordinates

log = logs.get("timekeeper")

BATCH = 2000
#: A worker gives a processor five seconds to stop, and then needs a moment to publish the result.
GRACE = timedelta(seconds=8)


class Cancels:
    """Ends cancelled runs that no worker has ended."""

    def __init__(self, context: DutyContext) -> None:
        self._context = context

    def run_once(self) -> bool:
        dues = self._context.store.open_cancels(GRACE, BATCH)
        if dues:
            requests = self._context.requests(dues)
            for due in dues:
                coordinates = request_coordinates(due)
                request = self._context.writer.decode(
                    requests[coordinates] if coordinates is not None else None, due.job_id
                )
                self._end(due, request["header"] if request else None)
            self._context.publisher.flush()
            log.info("cancelled", count=len(dues))
        return bool(dues)

    def _end(self, due: DueRun, header: dict[str, object] | None) -> None:
        message = f"It was cancelled: {due.reason}" if due.reason else "It was cancelled."
        try:
            self._context.writer.end_run(due, header, request_coordinates(due), ErrorCode.CANCELLED, message)
        except Unreachable:
            raise
        except SluiceError as error:
            log.error("cancel_skipped", job_id=due.job_id, code=str(error.code), reason=str(error))
