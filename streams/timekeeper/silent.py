"""Ends runs that have neither a deadline nor any other due time once nothing has happened to them for long.

A job without a deadline of its own gets the installation's (SLUICE_DEADLINE_DAYS). It counts by the store's clock, from the
last change of the run, for requests of any producer, and costs the jobs that end in time nothing (docs/adr/0022).
"""

from __future__ import annotations

import time
from datetime import timedelta

from connectors.due_store import DueRun
from schemas.errors import ErrorCode
from streams import logs
from streams.timekeeper.duty import DutyContext, request_coordinates
from streams.timekeeper.ending import RunEnd
from streams.timekeeper.requests import ReadRequests

log = logs.get("timekeeper")

EVERY_S = 60.0
BATCH = 2000
#: Seconds after a full batch: the sink stores its ends meanwhile, so that the next batch holds other runs.
AGAIN_S = 5.0
MESSAGE = "Nothing happened to it for {days:g} days (SLUICE_DEADLINE_DAYS), and it has no deadline of its own."


class SilentRuns:
    def __init__(self, context: DutyContext) -> None:
        self._context = context
        self._next_at = 0.0

    def run_once(self) -> bool:
        if time.monotonic() < self._next_at:
            return False
        dues = self._context.store.silent(timedelta(days=self._context.settings.deadline_days), BATCH)
        if dues:
            requests = self._context.requests(dues)
            taken = [due for due in dues if not requests.is_left(request_coordinates(due))]
            ended = self._context.ender.publish(self._end(due, requests) for due in taken)
            log.error("silent_runs_ended", count=len(ended))
        # A run that was ended stays in the list until the sink has read its end.
        self._next_at = time.monotonic() + (AGAIN_S if len(dues) == BATCH else EVERY_S)
        return False

    def _end(self, due: DueRun, requests: ReadRequests) -> RunEnd:
        coordinates = request_coordinates(due)
        header = self._context.header_of(requests.get(coordinates), due)
        message = MESSAGE.format(days=self._context.settings.deadline_days)
        return RunEnd(due, ErrorCode.DEADLINE_EXCEEDED, message, header, coordinates)
