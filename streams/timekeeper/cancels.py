"""Cancels requested by users: a waiting job ends at once, a running one only if its worker has not ended it in time.

The worker reads the same command from the log, asks the processor to stop, kills its process after a grace period, and
publishes the result. The result published here competes like any other: if the job was done meanwhile, that result wins and the
cancel came too late.
"""

from __future__ import annotations

from datetime import timedelta

from connectors.due_store import DueRun
from schemas.errors import ErrorCode
from streams import logs
from streams.timekeeper.duty import DutyContext, request_coordinates
from streams.timekeeper.ending import RunEnd
from streams.timekeeper.requests import ReadRequests

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
            # Those that were left for their size are due again in ten seconds.
            taken = [due for due in dues if not requests.is_left(request_coordinates(due))]
            ended = self._context.ender.publish(self._end(due, requests) for due in taken)
            log.info("cancelled", count=len(ended))
        return bool(dues)

    def _end(self, due: DueRun, requests: ReadRequests) -> RunEnd:
        coordinates = request_coordinates(due)
        header = self._context.header_of(requests.get(coordinates), due)
        message = f"It was cancelled: {due.reason}" if due.reason else "It was cancelled."
        return RunEnd(due, ErrorCode.CANCELLED, message, header, coordinates)
