"""Publishes the rows of running replays, at their rates, to the bulk lane: each job's request again, as its next run.

Read the records from the log ─▶ publish ─▶ wait for the delivery reports ─▶ mark the rows. If the leader dies between
publishing and marking, the next one publishes the same rows again, and as each row has its run's number, that makes one run
all the same.
A row of another source than a request is published by another method of `_SOURCES`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from confluent_kafka import KafkaError, Message

from connectors.replay_store import (
    DEAD_LETTER,
    FAILED,
    PUBLISHED,
    REQUEST,
    WAITING,
    MarkedRow,
    Replay,
    ReplayJob,
    ReplayWork,
)
from schemas.errors import SluiceError, Unreachable
from schemas.records import Coordinates
from schemas.states import Lane
from streams import logs
from streams.health.loop_threads import frames_of
from streams.log import kafka
from streams.timekeeper.duty import DutyContext
from streams.timekeeper.publisher import Discarded
from streams.timekeeper.redrive import Redriver, letter_of_record
from streams.timekeeper.replayed import replayed_headers, replayed_request
from streams.timekeeper.requests import ReadRequests

log = logs.get("timekeeper")

BATCH = 500
#: A turn's rows are published in groups, over this time at most, by their replay's rate. Not all at once: a live job waits for
#: a few of them in the worker and the sink. Not one by one: each group costs the broker and its readers a request. Other duties
#: wait meanwhile, so it is short.
SPREAD_S = 0.25
GROUP_S = 0.05
#: Times that a record is read again before its row fails.
TRIES = 5
GONE = "Its request is no longer in the log."
UNDECODABLE = "Its request can't be decoded, or another record is at its place now."
UNREADABLE = "Its request could not be read from the log, several times."
TOO_LARGE = "Kafka refuses its request ({code})."


class Record(NamedTuple):
    """A record as it was read: from the log, or from `payloads`."""

    key: bytes | None
    value: bytes
    headers: dict[str, bytes | str | None]
    coordinates: Coordinates | None


class RowFailed(Exception):
    """The row can never be published. The text becomes its reason, so it quotes no input."""


class Replays:
    def __init__(self, context: DutyContext, sleep: Callable[[float], None] = time.sleep) -> None:
        self._context = context
        self._store = context.replays
        self._sleep = sleep

    def run_once(self) -> bool:
        works = self._store.due(BATCH)
        if not works:
            return False
        requests = self._context.reader.read(
            {place for work in works for row in work.rows if (place := coordinates_of(row))}
        )
        marks: dict[tuple[str, int], MarkedRow] = {}
        away: Unreachable | None = None
        for work in works:
            group, pause_s = groups_of(work)
            for n, row in enumerate(work.rows, 1):
                try:
                    marked = self._marked(work, row, requests)
                except Discarded:
                    raise
                except Unreachable as error:
                    away = error
                    break  # the others of this replay need the same, and keep their order
                if marked is not None:
                    marks[work.replay.replay_id, row.n] = marked
                if n % group == 0 and n < len(work.rows):
                    self._sleep(pause_s)
        away = self._confirm(marks) or away
        self._store.mark(list(marks.values()))
        published = sum(mark.state == PUBLISHED for mark in marks.values())
        log.info("replayed", count=published, failed=sum(mark.state == FAILED for mark in marks.values()))
        if away is not None:
            raise away
        # With less than a full share the rest waits for the rate: another turn at once would find a row or two.
        full = any(len(work.rows) >= BATCH // len(works) for work in works)
        return bool(marks) and (full or len(marks) < sum(len(work.rows) for work in works))

    def _marked(self, work: ReplayWork, row: ReplayJob, requests: ReadRequests) -> MarkedRow | None:
        """Queue a row's record; return what becomes of the row if Kafka takes it. None: it was left for the next turn.

        Raises Unreachable.
        """
        replay_id = UUID(work.replay.replay_id).bytes
        place = coordinates_of(row)
        if requests.is_left(place):
            return None
        if place in requests.unread:
            waits = row.tries + 1 < TRIES
            return MarkedRow(replay_id, row.n, WAITING if waits else FAILED, UNREADABLE)
        try:
            record = self._record(row, requests.get(place), place)
            _SOURCES[row.source](self, work, row, record)
        except Unreachable:
            raise
        except (RowFailed, SluiceError) as error:
            return MarkedRow(replay_id, row.n, FAILED, str(error))
        except Exception as error:  # noqa: BLE001 - a record from outside; the other rows go on
            reason = {"reason": type(error).__name__, "frames": frames_of(error)}
            log.error("replay_row_failed", replay_id=work.replay.replay_id, job_id=row.job_id, **reason)
            return MarkedRow(
                replay_id, row.n, FAILED, f"{type(error).__name__}; search the timekeeper's log for its job"
            )
        return MarkedRow(replay_id, row.n, PUBLISHED)

    def _record(self, row: ReplayJob, message: Message | None, place: Coordinates | None) -> Record:
        """Return the row's record. Raises RowFailed if it is gone."""
        if message is not None:
            return Record(message.key(), message.value() or b"", dict(message.headers() or ()), place)
        payload = None
        if place is None and row.job_id is not None and row.from_run is not None:
            payload = self._store.payload(row.job_id, row.from_run)
        if payload is None:
            raise RowFailed(GONE)
        return Record(payload.key, payload.value, dict(payload.headers), None)

    def _confirm(self, marks: dict[tuple[str, int], MarkedRow]) -> Unreachable | None:
        """Wait for the delivery reports; take back the marks of rows that Kafka did not take. Return why it did not answer."""
        errors: dict[tuple[str, int], KafkaError] = self._context.publisher.flush()
        away = None
        for key, error in errors.items():
            if kafka.refused(error):
                marks[key] = marks[key]._replace(state=FAILED, reason=TOO_LARGE.format(code=error.name()))
                continue
            translated = kafka.translate(error, "publishing a replay")
            if isinstance(translated, Unreachable):
                away = translated
                del marks[key]
            else:
                log.error("replay_row_not_published", replay_id=key[0], n=key[1], code=error.name())
                marks[key] = marks[key]._replace(state=WAITING)
        return away

    # ── sources ──

    def _request(self, work: ReplayWork, row: ReplayJob, record: Record) -> None:
        """Queue a job's request as the run of this row. Raises RowFailed, SluiceError."""
        plain = self._context.writer.decode_value(record.value, row.job_id or "")
        if plain is None or row.run is None:
            raise RowFailed(UNDECODABLE)
        replay, processor = work.replay, row.processor or str(plain["header"]["processor"])
        encoder = self._context.writer.encoder(processor)
        header, value = replayed_request(
            plain, replay, row.run, work.at, record.coordinates, processor, encoder, row.stored
        )
        headers = replayed_headers(record.headers, header, edited=replay.edit is not None)
        key = record.key or header["job_id"].encode()
        self._publish(replay, row, self._context.settings.topics.requests(processor, Lane.BULK), key, value, headers)

    def _dead_letter(self, work: ReplayWork, row: ReplayJob, record: Record) -> None:
        """Queue a dead letter: its job's next run, or the record as it was if its job is unknown. Raises SluiceError."""
        context = self._context
        if record.coordinates is None:
            raise RowFailed(GONE)
        letter = letter_of_record(record.coordinates, work.at, record.key, record.value or None, record.headers)
        origin = letter.origin
        if letter.value is None and origin is not None:
            original = context.reader.read([origin]).get(origin)
            letter = letter if original is None else letter._replace(value=original.value())
        sent = Redriver(context.writer.codec, context.settings.topics, context.writer.encoder).outgoing(
            letter, work.replay, row.job_id, row.run, work.at, row.stored
        )
        self._publish(work.replay, row, sent.topic, sent.key, sent.value, sent.headers)

    def _publish(
        self, replay: Replay, row: ReplayJob, topic: str, key: bytes | None, value: bytes, headers: dict[str, bytes]
    ) -> None:
        self._context.publisher.put((replay.replay_id, row.n), topic, key, value, headers)


_SOURCES: dict[str, Callable[[Replays, ReplayWork, ReplayJob, Record], None]] = {
    REQUEST: Replays._request,
    DEAD_LETTER: Replays._dead_letter,
}


def groups_of(work: ReplayWork) -> tuple[int, float]:
    """Return how many rows of a turn are published together, and the seconds from one group to the next."""
    rate = work.replay.rate
    if rate is None:
        return len(work.rows), 0.0
    size = math.ceil(len(work.rows) * GROUP_S / SPREAD_S)
    return size, min(GROUP_S, size / rate)


def coordinates_of(row: ReplayJob) -> Coordinates | None:
    """Return where the row's record is in the log; None if it is in `payloads`."""
    if row.topic is None or row.partition is None or row.offset is None:
        return None
    return Coordinates(row.topic, row.partition, row.offset)
