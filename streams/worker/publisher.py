"""Everything the worker writes to the log, and the delivery reports that make a job done.

A job is done when each of its records has been confirmed; one whose delivery failed is written again. One thread serves the
reports, so that no other ever waits for the broker.
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
from schemas.states import Disposition
from schemas.topics import TopicNames
from streams import logs
from streams.log import kafka
from streams.log.port import LogProducer
from streams.worker.in_flight import InFlightJob, InFlightJobs
from streams.worker.protocol import Answer

log = logs.get("worker")

#: Times that one record is written again before the worker gives up and starts over from its committed offsets.
TRIES = 5
PAUSE_S = 0.5
#: How many headers of ours stand at the end of a dead letter's.
DL_HEADERS = 8


class OutgoingRecord(NamedTuple):
    """What was given to the producer, so that it can be given again."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[headers.Header]
    tries: int = 1


class Publisher:
    """`too_large` hears of a job whose result the broker refuses for its size."""

    def __init__(
        self,
        producer: LogProducer,
        ledger: InFlightJobs,
        names: TopicNames,
        processor: str,
        worker_id: str,
        too_large: Callable[[InFlightJob], None],
    ) -> None:
        self._producer = producer
        self._ledger = ledger
        self._results = names.results(processor)
        self._dead_letters = names.dead_letters
        self._progress = names.progress
        self._worker_id = worker_id
        self._source = f"sluice/worker/{worker_id}"
        self._too_large = too_large
        #: Whether a `retry` is not to be published, because its job is run again here.
        self.keep: Callable[[Answer], bool] = lambda answer: False
        self._confirmed: list[InFlightJob] = []
        self._again: deque[tuple[float, InFlightJob, OutgoingRecord]] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name=f"deliver-{processor}", daemon=True)
        self.published = 0
        self.dead_lettered = 0
        self.fault: SluiceError | None = None

    def start(self) -> None:
        self._thread.start()

    def publish(self, answer: Answer) -> None:
        """Write a job's result, its dead letter, or both; a job that was dropped meanwhile is left to its new owner."""
        if answer.disposition is Disposition.RETRY and self.keep(answer):
            return
        dead = bool(answer.dead_reason)
        records = bool(answer.value) + dead
        held = self._ledger.answered(answer.slot, records or 1)
        if held is None:
            return
        if not records:  # nothing is to be said of it, and so nothing to wait for
            self._ledger.confirmed([held])
        if answer.value:
            self.published += 1
            self._write(held, self._result(held, answer))
        if dead:
            self.dead_lettered += 1
            self._write(held, self._dead_letter(held, answer))

    def progress(self, job_id: str, value: bytes) -> None:
        """A word that may get lost: nothing waits for it."""
        self.tell(self._progress, job_id.encode(), value)

    def tell(self, topic: str, key: bytes, value: bytes) -> None:
        """A record that no job waits for."""
        self._produce(OutgoingRecord(topic, key, value, []), None)

    def stop(self, timeout: float) -> None:
        """End the deliverer, and give words of progress that are still on their way a moment."""
        self._stopping.set()
        self._thread.join(timeout)
        self._producer.flush(timeout)

    # ── writing ──

    def _result(self, held: InFlightJob, answer: Answer) -> OutgoingRecord:
        key = held.message.key()
        # An answer has the fields that result_headers reads; making a whole header of it costs 7 µs a job.
        named = cast(JobHeader, answer)
        made = headers.result_headers(named, answer.disposition.value, answer.execution, source=self._source)
        if held.trace is not None:
            made.append((headers.TRACEPARENT, held.trace))
        return OutgoingRecord(self._results, answer.job_id.encode() if key is None else key, answer.value, made)

    def _dead_letter(self, held: InFlightJob, answer: Answer) -> OutgoingRecord:
        message = held.message
        why = [
            (headers.DL_REASON, answer.dead_reason.encode()),
            (headers.DL_MESSAGE, answer.dead_message.encode()),
            (headers.DL_TOPIC, held.owned.topic.encode()),
            (headers.DL_PARTITION, b"%d" % held.owned.partition),
            (headers.DL_OFFSET, b"%d" % message.offset()),
            (headers.DL_ATTEMPTS, b"%d" % answer.execution),
            (headers.DL_WORKER, self._worker_id.encode()),
            (headers.DL_AT, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()),
        ]
        return OutgoingRecord(self._dead_letters, message.key(), message.value(), [*(message.headers() or ()), *why])

    def _write(self, held: InFlightJob, record: OutgoingRecord) -> None:
        self._produce(record, partial(self._reported, held, record))

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
            time.sleep(0.01)  # the deliverer polls; there is no event to wait for

    # ── delivery reports ──

    def _reported(self, held: InFlightJob, record: OutgoingRecord, error: KafkaError | None, _: Any) -> None:
        if error is None:
            self._confirmed.append(held)
        elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            self._refused_for_size(held, record)
        else:
            log.warning("delivery_failed", topic=record.topic, reason=error.str(), tries=record.tries)
            if record.tries >= TRIES or error.fatal():
                self.fault = kafka.translate(error, f"writing to {record.topic}")
            self._again.append((time.monotonic() + PAUSE_S, held, record))

    def _refused_for_size(self, held: InFlightJob, record: OutgoingRecord) -> None:
        if record.topic == self._results:
            self._too_large(held)
        else:  # a dead letter: the request fitted, but not with our headers; its coordinates still find it
            self._again.append(
                (0.0, held, OutgoingRecord(record.topic, record.key, None, record.headers[-DL_HEADERS:]))
            )

    def _deliver(self) -> None:
        while not self._stopping.is_set():
            self.serve(0.05)

    def serve(self, timeout: float) -> None:
        """Take in delivery reports, waiting for the first at most so long; write again what failed."""
        self._producer.poll(timeout)
        if self._confirmed:
            confirmed, self._confirmed = self._confirmed, []
            self._ledger.confirmed(confirmed)
        while self._again and self._again[0][0] <= time.monotonic():
            _, held, record = self._again.popleft()
            self._write(held, OutgoingRecord(record.topic, record.key, record.value, record.headers, record.tries + 1))
