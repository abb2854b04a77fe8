"""Handles due runs: publishes the next attempt of a retry, releases a job with a start time, ends a run at its deadline.

Read the requests from the log ─▶ publish ─▶ wait for the delivery reports ─▶ mark the runs whose record is confirmed. If the
leader dies between publishing and marking, the next one publishes again. That is safe: two requests of one attempt still give
one outcome. Each run is handled by itself: one that can't be published delays no other, and is ended if it never can be.
"""

from __future__ import annotations

import socket
from collections.abc import Hashable, Mapping, Sequence

from confluent_kafka import KafkaError

from connectors.due_store import DoneRow, DueRun
from schemas.errors import ErrorCode, SluiceError, Unreachable
from streams import logs
from streams.health.loop_threads import frames_of
from streams.log import kafka
from streams.timekeeper.dead_requests import DeadRequest, publish_dead
from streams.timekeeper.duty import DutyContext, request_coordinates
from streams.timekeeper.ending import RunEnd, RunKey, run_key
from streams.timekeeper.publisher import Discarded
from streams.timekeeper.requests import ReadRequests

log = logs.get("timekeeper")

BATCH = 2000
EXPIRED = "The deadline passed before it was done."
GONE = "Its request is no longer in the log, or can't be decoded."
TOO_LARGE = (
    "Kafka refuses its request for the next attempt or release, which names its origin and so is larger ({code})."
)


class DueRuns:
    """Publishes a record for each due run, then marks the run as done."""

    def __init__(self, context: DutyContext) -> None:
        self._context = context

    def run_once(self) -> bool:
        dues = self._context.store.due(BATCH)
        if not dues:
            return False
        requests = self._context.requests(dues)
        taken = [due for due in dues if not requests.is_left(request_coordinates(due))]
        away: dict[str, Unreachable] = {}
        queued, ends = self._queue(taken, requests, away)
        errors = self._context.publisher.flush()
        refused = {
            run_key(due): (due, error) for due in queued if (error := errors.get(run_key(due))) and kafka.refused(error)
        }
        ends += [_refused(*each) for each in refused.values()]
        keys = {run_key(due) for due in queued}
        # Marked before anything else can fail: a run that is published and not marked is published again.
        handled = [due for due in taken if run_key(due) in keys or due.processor not in away]
        unconfirmed = self._mark(handled, keys, errors)
        self._context.ender.publish(ends)
        dead = {key: made for key, each in refused.items() if (made := _dead_request(*each, requests)) is not None}
        publish_dead(self._context.publisher, self._context.settings.topics.dead_letters, dead)
        log.info("published", count=len(queued) - len(errors), ended=len(ends), due=len(taken))
        for unreachable in (*away.values(), *unconfirmed):
            raise unreachable
        return len(dues) == BATCH or len(taken) < len(dues)

    def _queue(
        self, dues: Sequence[DueRun], requests: ReadRequests, away: dict[str, Unreachable]
    ) -> tuple[list[DueRun], list[RunEnd]]:
        """Queue the requests of runs that go on; return those runs, and the ends of those that do not.

        A run in neither is tried again in a minute, or stays due if its processor's schema can't be looked up now (`away`).
        """
        queued, ends = [], []
        for due in dues:
            if due.processor in away:
                continue
            try:
                end = self._queue_or_end(due, requests)
            except Discarded:
                raise
            except Unreachable as error:
                away[due.processor] = error
            except SluiceError as error:
                log.error("duty_skipped", job_id=due.job_id, kind=due.kind, code=str(error.code), reason=str(error))
            except Exception as error:  # noqa: BLE001 - a record from outside; the other runs are due as well
                reason = {"reason": type(error).__name__, "frames": frames_of(error)}
                log.error("due_run_failed", job_id=due.job_id, run=due.run, kind=due.kind, **reason)
            else:
                if end is None:
                    queued.append(due)
                else:
                    ends.append(end)
        return queued, ends

    def _queue_or_end(self, due: DueRun, requests: ReadRequests) -> RunEnd | None:
        coordinates = request_coordinates(due)
        message = requests.get(coordinates)
        if due.kind == "deadline":
            header = self._context.header_of(message, due)
            return RunEnd(due, ErrorCode.DEADLINE_EXCEEDED, EXPIRED, header, coordinates)
        if coordinates in requests.unread:
            raise SluiceError("Its request can't be read from the log now.")
        request = self._context.writer.decode(message, due.job_id)
        if request is None or coordinates is None or message is None:
            return RunEnd(due, ErrorCode.NOT_FOUND, GONE)
        self._context.writer.republish(run_key(due), due, request, coordinates, message)
        return None

    def _mark(
        self, dues: Sequence[DueRun], queued: set[RunKey], errors: Mapping[Hashable, KafkaError]
    ) -> list[SluiceError]:
        """Mark what was published; all others are due again in a minute, but at once if Kafka was only unreachable.

        Return why it was.
        """
        away = {key: error for key, error in errors.items() if isinstance(kafka.translate(error, ""), Unreachable)}
        rows = [
            _done_row(due, run_key(due) in queued and run_key(due) not in errors)
            for due in dues
            if run_key(due) not in away
        ]
        self._context.store.mark_done(rows)
        for key, error in errors.items():
            if key not in away and not kafka.refused(error):
                log.error("due_run_not_published", run=key, code=error.name(), next="it is due again in a minute")
        return [kafka.translate(error, f"publishing {len(away)} due runs") for error in list(away.values())[:1]]


def _refused(due: DueRun, error: KafkaError) -> RunEnd:
    log.error("due_run_refused", job_id=due.job_id, run=due.run, kind=due.kind, code=error.name())
    return RunEnd(due, ErrorCode.PAYLOAD_TOO_LARGE, TOO_LARGE.format(code=error.name()), None, request_coordinates(due))


def _dead_request(due: DueRun, error: KafkaError, requests: ReadRequests) -> DeadRequest | None:
    place = request_coordinates(due)
    request = requests.get(place)
    if request is None:
        return None
    why = ErrorCode.PAYLOAD_TOO_LARGE, TOO_LARGE.format(code=error.name())
    who = f"timekeeper@{socket.gethostname()}"
    return DeadRequest(request.key(), request.value(), dict(request.headers() or ()), place, *why, due.attempt, who)


def _done_row(due: DueRun, done: bool) -> DoneRow:
    return DoneRow(bytes.fromhex(due.job_id.replace("-", "")), due.run, due.attempt, due.kind, done)
