"""Writes results, dead letters and progress to the log; the delivery reports make jobs done.

A job is done when each of its records is delivered; a record whose delivery failed is written again, however long the broker
is away. A record that Kafka refuses for good becomes a smaller one, so that its job ends by name and stops no other. One thread
serves the reports, so that no other thread ever waits for the broker (`log/confirmed_producer.py` waits in place, and serves
them on any thread).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from confluent_kafka import KafkaError, KafkaException

from schemas import headers
from schemas.errors import ErrorCode
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

#: Pause before a record is written again: the first, doubled each time, and the longest.
PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
#: How long progress updates in the queue are given at the end.
FLUSH_S = 1.0
#: Bytes of a key or a header from the request that are copied to a result. Ids and trace contexts are far shorter.
LONGEST_COPY = 1000


class OutgoingRecord(NamedTuple):
    """A record as the producer gets it, kept so that it can be written again. `own_headers`: how many at the end are ours, in a
    dead letter."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[headers.Header]
    tries: int = 1
    own_headers: int = 0


class Publisher:
    """`too_large` is called with a job whose result Kafka refuses: the child makes a small one that says so."""

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
        self.fault: str | None = None  # why the last record was not written

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

    def write(self, topic: str, key: bytes, value: bytes, kafka_headers: Sequence[headers.Header] = ()) -> None:
        """Write a record that no job waits for; it may get lost, which the log says."""
        self._produce(OutgoingRecord(topic, key, value, [*kafka_headers]), partial(_warn_if_lost, topic))

    def stop(self, timeout: float) -> None:
        """End the thread, and give progress updates in the queue a moment."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._producer.flush(FLUSH_S)

    # ── writing ──

    def _result(self, job: InFlightJob, answer: Answer) -> OutgoingRecord:
        key = job.key
        # An answer has the fields that result_headers reads; making a whole header of it costs 7 µs a job.
        header = cast(JobHeader, answer)
        made = headers.result_headers(header, answer.disposition.value, answer.execution, source=self._source)
        made += [(name, text) for name, text in job.copied if len(text) <= LONGEST_COPY]
        if key is None or len(key) > LONGEST_COPY:
            key = answer.job_id.encode()
        return OutgoingRecord(self._results, key, answer.value, made)

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
        elif kafka.refused(error):
            self._refused(job, record, error)
        else:
            log.warning("delivery_failed", topic=record.topic, reason=error.str(), tries=record.tries)
            self.fault = f"Kafka does not take records for {record.topic}: {error.str()}."
            pause = min(LONGEST_PAUSE_S, PAUSE_S * 2.0 ** min(record.tries - 1, 10))
            self._again.append((time.monotonic() + pause, job, record))

    def _refused(self, job: InFlightJob, record: OutgoingRecord, error: KafkaError) -> None:
        """Write something smaller in place of a record that Kafka refuses for good."""
        place = {"topic": job.origin.topic, "partition": job.origin.partition, "offset": job.offset}
        log.warning("record_refused", refused_by=record.topic, reason=error.name(), **place)
        if record.topic == self._results and job.error_code != ErrorCode.PAYLOAD_TOO_LARGE.encode():
            self._too_large(job)
        elif record.value is not None and record.own_headers:  # a dead letter: its coordinates find the request
            self._again.append((0.0, job, record._replace(value=None)))
        elif record.own_headers and len(record.headers) > record.own_headers:
            own = record.headers[-record.own_headers :]
            self._again.append((0.0, job, record._replace(key=None, headers=own)))
        else:
            log.error("record_given_up", refused_by=record.topic, **place, next_step="The timekeeper ends its run.")
            self._in_flight.confirmed([job])

    def _serve_reports(self) -> None:
        while not self._stopping.is_set():
            self.serve(0.05)

    def serve(self, timeout: float) -> None:
        """Take in delivery reports, waiting at most `timeout` for the first; write again what failed."""
        try:
            self._producer.poll(timeout)
        except KafkaException as error:
            self.fault = f"Kafka's producer failed: {error.args[0].str()}."
            self._stopping.wait(PAUSE_S)
        if self._confirmed:
            confirmed, self._confirmed = self._confirmed, []
            self._in_flight.confirmed(confirmed)
            self.fault = None
        if self._again:
            self._write_again(time.monotonic())

    def _write_again(self, now: float) -> None:
        for _ in range(len(self._again)):
            due, job, record = self._again.popleft()
            if due <= now:
                self._write(job, record._replace(tries=record.tries + 1))
            else:
                self._again.append((due, job, record))


def _warn_if_lost(topic: str, error: KafkaError | None, _: Any) -> None:
    if error is not None:
        log.warning("record_not_written", topic=topic, reason=error.str())
