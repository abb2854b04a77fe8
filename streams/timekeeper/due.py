"""Runs whose time has come: the next attempt of one that waits for its retry, the first of one that was not to begin earlier,
and the end of one whose deadline has passed.

Read the requests where they lie ─▶ publish ─▶ wait for the delivery reports ─▶ mark them done. Who dies in between does it
twice: two requests of the same attempt are one outcome all the same.
"""

from __future__ import annotations

from confluent_kafka import Message

from connectors.due_store import DoneRow, DueRun
from schemas.errors import ErrorCode, SluiceError, Unreachable
from schemas.records import Coordinates
from streams import logs
from streams.timekeeper.duty import DutyContext, place_of

log = logs.get("timekeeper")

BATCH = 2000

Found = dict[Coordinates, Message | None]


class DueRuns:
    """A duty."""

    def __init__(self, desk: DutyContext) -> None:
        self._desk = desk

    def turn(self) -> bool:
        due = self._desk.store.due(BATCH)
        if due:
            found = self._desk.requests(due)
            rows = [_done(one, self._do(one, found)) for one in due]
            self._desk.outbox.settle()
            self._desk.store.mark_done(rows)
            log.info("published", count=sum(row.done for row in rows), postponed=sum(not row.done for row in rows))
        return len(due) == BATCH

    def _do(self, due: DueRun, found: Found) -> bool:
        """Publish what is due; False if it can't be done here (its processor is not installed, say)."""
        try:
            self._publish(due, found)
        except Unreachable:
            raise
        except SluiceError as error:
            log.error("duty_skipped", job_id=due.job_id, kind=due.kind, code=str(error.code), reason=str(error))
            return False
        return True

    def _publish(self, due: DueRun, found: Found) -> None:
        writer, place = self._desk.writer, place_of(due)
        request = found[place] if place is not None else None
        plain = writer.opened(request, due.job_id)
        if due.kind == "deadline":
            header = plain["header"] if plain else None
            writer.end(due, header, place, ErrorCode.DEADLINE_EXCEEDED, "The deadline passed before it was done.")
        elif plain is None or place is None or request is None:
            writer.end(due, None, None, ErrorCode.NOT_FOUND, "Its request is no longer in the log.")
        else:
            writer.again(due, plain, place, request)


def _done(due: DueRun, done: bool) -> DoneRow:
    return DoneRow(bytes.fromhex(due.job_id.replace("-", "")), due.run, due.attempt, due.kind, done)
