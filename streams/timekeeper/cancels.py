"""Orders to stop: a job that waits is ended at once, one that runs only if its worker has not done so by itself.

The worker hears the same order from the log, tells the processor, kills what does not listen, and publishes the result.
What is published here is a candidate like any other: if the job was done meanwhile, the arbiter says that it came too late.
"""

from __future__ import annotations

from datetime import timedelta

from connectors.due_store import DueRun
from schemas.errors import ErrorCode, SluiceError, Unreachable
from streams import logs
from streams.timekeeper.duty import DutyContext, place_of

log = logs.get("timekeeper")

BATCH = 2000
#: A worker gives a processor five seconds to stop by itself, and then needs a moment for its result.
GRACE = timedelta(seconds=8)


class Cancels:
    """A duty."""

    def __init__(self, desk: DutyContext) -> None:
        self._desk = desk

    def turn(self) -> bool:
        dues = self._desk.store.open_cancels(GRACE, BATCH)
        if dues:
            found = self._desk.requests(dues)
            for due in dues:
                place = place_of(due)
                plain = self._desk.writer.opened(found[place] if place is not None else None, due.job_id)
                self._end(due, plain["header"] if plain else None)
            self._desk.outbox.settle()
            log.info("cancelled", count=len(dues))
        return bool(dues)

    def _end(self, due: DueRun, header: dict[str, object] | None) -> None:
        message = f"It was cancelled: {due.reason}" if due.reason else "It was cancelled."
        try:
            self._desk.writer.end(due, header, place_of(due), ErrorCode.CANCELLED, message)
        except Unreachable:
            raise
        except SluiceError as error:
            log.error("cancel_skipped", job_id=due.job_id, code=str(error.code), reason=str(error))
