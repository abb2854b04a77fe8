"""Writes results, dead letters and progress to the log; the delivery reports make jobs done.

A job is done when each of its records is delivered; a record whose delivery failed is written again. One thread serves the
reports, so that no other thread ever waits for the broker.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

from confluent_kafka import KafkaError, KafkaException

from schemas import headers
from schemas.errors import SluiceError
from schemas.records import JobHeader
from schemas.topics import TopicNames
from streams import logs
from streams.health.loop_threads import LoopThreads
from streams.log import kafka
from streams.log.port import LogProducer
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.protocol import Answer

log = logs.get("worker")

#: How often one record is written before the worker gives up and starts over from its committed offsets.
TRIES = 5
PAUSE_S = 0.5


class OutgoingRecord(NamedTuple):
    """A record as the producer gets it, kept so that it can be written again. `own_headers`: how many at the end are ours."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[headers.Header]
    tries: int = 1
    own_headers: int = 0


class Publisher:
    """`too_large` is called with a job whose result Kafka refuses for its size."""

    def __init__(
        self,
        producer: LogProducer,
        in_flight: InFlightJobs,
        names: TopicNames,
        processor: str,
        worker_id: str,
        too_large: Callable[[InFlightJob], None],
        threads: LoopThreads,
    ) -> None:
        self._producer = producer
        self._in_flight = in_flight
        self._results = names.results(processor)
        self._dead_letters = names.dead_letters
        self._worker_id = worker_id
        self._source = f"sluice/worker/{worker_id}"
        self._too_large = too_large
        self._confirmed: list[InFlightJob] = []
        self._again: deque[tuple[float, InFlightJob, OutgoingRecord]] = deque()
        self._stopping = threading.Event()
        self._thread = threads.new(f"deliver-{processor}", self._serve_reports, self._stopping.is_set)
        self.published = 0
        self.dead_lettered = 0
        self.fault: SluiceError | None = None

    def start(self) -> None:
        self._thread.start()

    def publish(self, answer: Answer) -> None:
        """Write a job's result, its dead letter, or both. The answer of a disowned job is its new owner's."""
        dead = bool(answer.dead_reason)
        job = self._in_flight.answered(answer.slot, 1 if answer.postponed else bool(answer.value) + dead)
        if job is None:
            return
        if answer.postponed:  # no record, so no delivery report to wait for
            self._in_flight.confirmed([job])
        if answer.value:
            self.published += 1
            self._write(job, self._result(job, answer))
        if dead:
            self.dead_lettered += 1
            self._write(job, self._dead_letter(job, answer))

    def write(self, topic: str, key: bytes, value: bytes) -> None:
        """Write a record that no job waits for; it may get lost."""
        self._produce(OutgoingRecord(topic, key, value, []), None)

    def stop(self, timeout: float) -> None:
        """End the thread, and give progress updates in the queue a moment."""
        self._stopping.set()
        self._thread.join(timeout)
        self._producer.flush(timeout)

    # ── writing ──

    def _result(self, job: InFlightJob, answer: Answer) -> OutgoingRecord:
        key = job.key
        # An answer has the fields that result_headers reads; making a whole header of it costs 7 µs a job.
        header = cast(JobHeader, answer)
        made = headers.result_headers(header, answer.disposition.value, answer.execution, source=self._source)
        if job.trace is not None:
            made.append((headers.TRACEPARENT, job.trace))
        return OutgoingRecord(self._results, answer.job_id.encode() if key is None else key, answer.value, made)

    def _dead_letter(self, job: InFlightJob, answer: Answer) -> OutgoingRecord:
        own = headers.dead_letter_headers(
            reason=answer.dead_reason,
            message=answer.dead_message,
            topic=job.origin.topic,
            partition=job.origin.partition,
            offset=job.offset,
            attempts=answer.execution,
            worker=self._worker_id,
        )
        all_headers = [*job.headers, *own.items()]
        return OutgoingRecord(self._dead_letters, job.key, job.value, all_headers, own_headers=len(own))

    def _write(self, job: InFlightJob, record: OutgoingRecord) -> None:
        self._produce(record, partial(self._delivered, job, record))

    def _produce(self, record: OutgoingRecord, on_delivery: Any) -> None:
        while True:
            try:
                self._producer.produce(
                    record.topic, record.value, record.key, headers=cast(Any, record.headers), on_delivery=on_delivery
                )
            except BufferError:  # the queue is full: delivery reports make room
                self._make_room()
            except KafkaException as error:
                if on_delivery is None:
                    return
                on_delivery(error.args[0], None)
                return
            else:
                return

    def _make_room(self) -> None:
        if threading.current_thread() is self._thread:
            self._producer.poll(0.05)
        else:
            time.sleep(0.01)  # the other thread polls; there is no event to wait for

    # ── delivery reports ──

    def _delivered(self, job: InFlightJob, record: OutgoingRecord, error: KafkaError | None, _: Any) -> None:
        if error is None:
            self._confirmed.append(job)
        elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            self._refused_for_size(job, record)
        else:
            log.warning("delivery_failed", topic=record.topic, reason=error.str(), tries=record.tries)
            if record.tries >= TRIES or error.fatal():
                self.fault = kafka.translate(error, f"writing to {record.topic}")
            self._again.append((time.monotonic() + PAUSE_S, job, record))

    def _refused_for_size(self, job: InFlightJob, record: OutgoingRecord) -> None:
        if record.topic == self._results:
            self._too_large(job)
        else:  # a dead letter: the request fitted, but not with our headers; its coordinates still find it
            own = record.headers[-record.own_headers :]
            self._again.append((0.0, job, record._replace(value=None, headers=own)))

    def _serve_reports(self) -> None:
        while not self._stopping.is_set():
            self.serve(0.05)

    def serve(self, timeout: float) -> None:
        """Take in delivery reports, waiting at most `timeout` for the first; write again what failed."""
        self._producer.poll(timeout)
        if self._confirmed:
            confirmed, self._confirmed = self._confirmed, []
            self._in_flight.confirmed(confirmed)
        while self._again and self._again[0][0] <= time.monotonic():
            _, job, record = self._again.popleft()
            self._write(job, record._replace(tries=record.tries + 1))
