"""Publishes what is due: the next attempt of a job that waits for its retry, and the end of one whose deadline has passed.

Read the request where it lies ─▶ publish ─▶ wait for the delivery reports ─▶ mark it done. Who dies in between does it twice:
two requests of the same attempt are one outcome all the same.
"""

from __future__ import annotations

import socket
import threading
import time
from datetime import timedelta
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from connectors.due_store import DoneRow, Due, DueStore
from schemas.avsc import request_schema
from schemas.codec import Encoder
from schemas.contract import contract
from schemas.errors import ErrorCode, SluiceError, UndecodableRecord, Unreachable
from schemas.headers import ATTEMPT, DISPOSITION, EXECUTION, JOB, PROCESSOR, RUN
from schemas.plain import to_plain
from schemas.records import Coordinates, ErrorInfo, JobHeader
from schemas.states import Disposition
from streams import compose, logs
from streams.log import kafka
from streams.settings import Settings
from streams.timekeeper.requests import RequestReader
from streams.verdicts import Verdicts

log = logs.get("timekeeper")

#: How often the store is asked. A retry is at most this late.
TURN_S = 0.2
#: How often somebody who is not the leader asks whether there is one.
FOLLOW_S = 2.0
BATCH = 200
PRUNE_S = 60.0
PRUNE = 2000


class Timekeeper:
    """`keep`: how long decided runs are remembered; None for ever. Several may run: one leads, the others wait."""

    def __init__(self, settings: Settings, *, keep: timedelta | None = None) -> None:
        self._settings = settings
        self._keep = keep
        self._codec = compose.codec(settings)
        self._verdicts = Verdicts(self._codec, settings.topics, f"timekeeper@{socket.gethostname()}")
        self._encoders: dict[str, Encoder] = {}
        self._producer = kafka.producer(settings)
        self._failed: list[KafkaError] = []
        self._prune_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; leadership is given up then."""
        store, reader = compose.due_store(self._settings), RequestReader(self._settings)
        led = False
        try:
            while not stop.is_set():
                try:
                    leads = store.lead()
                    if leads and not led:
                        log.info("leads")
                    led = leads
                    busy = leads and self._turn(store, reader)
                except Unreachable as error:
                    log.warning("something_does_not_answer", reason=str(error))
                    leads = busy = False
                if not busy:
                    stop.wait(TURN_S if leads else FOLLOW_S)
        finally:
            store.close()
            reader.close()

    def _turn(self, store: DueStore, reader: RequestReader) -> bool:
        """Do what is due; True if there may be more."""
        due = store.due(BATCH)
        if due:
            places = {place for one in due if (place := _place(one)) is not None}
            found = reader.read(places)
            rows = [_done(one, self._do(one, found)) for one in due]
            self._settle()
            store.done(rows)
            log.info("published", count=sum(row.done for row in rows), postponed=sum(not row.done for row in rows))
        self._prune(store)
        return len(due) == BATCH

    # ── publishing ──

    def _do(self, due: Due, found: dict[Coordinates, Message | None]) -> bool:
        """Publish what is due; False if it can't be done here (its processor is not installed, say)."""
        place = _place(due)
        try:
            self._publish(due, place, found[place] if place is not None else None)
        except Unreachable:
            raise
        except SluiceError as error:
            log.error("can_not_be_done", job_id=due.job_id, kind=due.kind, code=str(error.code), reason=str(error))
            return False
        return True

    def _publish(self, due: Due, place: Coordinates | None, request: Message | None) -> None:
        plain = self._decoded(request)
        if plain is None or place is None or request is None:
            self._end(due, _minimal_header(due), None, ErrorCode.NOT_FOUND, "Its request is no longer in the log.")
        elif due.kind == "deadline":
            self._end(
                due, plain["header"], place, ErrorCode.DEADLINE_EXCEEDED, "The deadline passed before it was done."
            )
        else:
            self._retry(due, plain, place, request)

    def _decoded(self, request: Message | None) -> dict[str, Any] | None:
        try:
            return None if request is None else self._codec.decode(request.value() or b"")
        except UndecodableRecord:
            return None

    def _retry(self, due: Due, plain: dict[str, Any], place: Coordinates, request: Message) -> None:
        """The same request, one attempt further: same topic (and so the same lane) and same key."""
        attempt = due.attempt + 1
        header = plain["header"] | {"run": due.run, "attempt": attempt, "source_coordinates": to_plain(place)}
        value = self._encoder(due.processor).encode(plain | {"header": header})
        told = dict(request.headers() or []) | {
            ATTEMPT: b"%d" % attempt,
            RUN: b"%d" % due.run,
            "ce_id": f"{due.job_id}:{due.run}:{attempt}".encode(),
            "ce_source": b"sluice/timekeeper",
        }
        self._produce(place.topic, request.key(), value, told)

    def _end(self, due: Due, header: dict[str, Any], place: Coordinates | None, code: ErrorCode, message: str) -> None:
        header = header | {"run": due.run, "attempt": due.attempt}
        value = self._verdicts.failed(header, ErrorInfo(str(code), message, "", str(code)), place)
        told = {
            JOB: due.job_id.encode(),
            RUN: b"%d" % due.run,
            ATTEMPT: b"%d" % due.attempt,
            PROCESSOR: due.processor.encode(),
            DISPOSITION: Disposition.FAILED.value.encode(),
            EXECUTION: b"0",
        }
        self._produce(self._settings.topics.results(due.processor), due.job_id.encode(), value, told)

    def _produce(self, topic: str, key: bytes | None, value: bytes, told: dict[str, Any]) -> None:
        try:
            self._producer.produce(topic, value, key, headers=list(told.items()), on_delivery=self._report)
        except (KafkaException, BufferError) as error:
            raise Unreachable(f"Kafka did not take a record for {topic}: {error}.") from error

    def _report(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed.append(error)

    def _settle(self) -> None:
        """Wait for the delivery reports. Raises Unreachable when not all came, and all were good."""
        left = self._producer.flush(30.0)
        failed, self._failed = self._failed, []
        if left or failed:
            self._producer.purge()
            raise Unreachable(f"{left + len(failed)} records were not confirmed by Kafka.")

    def _encoder(self, processor: str) -> Encoder:
        encoder = self._encoders.get(processor)
        if encoder is None:
            subject = f"{self._settings.topics.requests(processor)}-value"
            encoder = self._encoders[processor] = self._codec.encoder(subject, request_schema(contract(processor)))
        return encoder

    # ── pruning ──

    def _prune(self, store: DueStore) -> None:
        if self._keep is None or time.monotonic() < self._prune_at:
            return
        forgotten = store.prune(self._keep, PRUNE)
        if forgotten:
            log.info("pruned", runs=forgotten)
        self._prune_at = time.monotonic() + (0 if forgotten == PRUNE else PRUNE_S)


def _place(due: Due) -> Coordinates | None:
    if due.topic is None or due.partition is None or due.offset is None:
        return None
    return Coordinates(due.topic, due.partition, due.offset)


def _done(due: Due, done: bool) -> DoneRow:
    return DoneRow(bytes.fromhex(due.job_id.replace("-", "")), due.run, due.attempt, due.kind, done)


def _minimal_header(due: Due) -> dict[str, Any]:
    return to_plain(JobHeader(due.job_id, due.processor, due.created_at, ""))
