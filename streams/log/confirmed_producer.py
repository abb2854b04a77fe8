"""Produces records and waits until the broker has confirmed them: handles a full queue and failed delivery reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from schemas.errors import Unreachable
from schemas.headers import JOB
from streams.log import kafka
from streams.log.port import DeliveryReport, LogProducer

#: Longer than a record stays in the client's queue (`delivery.timeout.ms`), so a queue that stays full this long is stuck.
QUEUE_FULL_S = 130.0
#: One wait for reports. Short, because another thread's `poll` may serve the report that this thread waits for.
_SLICE_S = 0.1
_ON_WAIT_EVERY_S = 1.0
#: A purged record is reported at once.
_PURGE_S = 1.0


class ConfirmedProducer:
    """Queue any number of records, then `flush`: it returns once the broker has confirmed all of them.

    Counts only its own records, so several may share one client, also across threads; one object may itself be shared, then a
    `flush` answers for the records of all its threads. `what` names one record in errors ("job"). `timeout_s` bounds each wait.
    `on_wait` is called about once a second during a wait (a leader renews its session with it).
    """

    def __init__(
        self, producer: LogProducer, what: str, timeout_s: float, on_wait: Callable[[], None] | None = None
    ) -> None:
        self._producer = producer
        self._what = what
        self._timeout_s = timeout_s
        self._on_wait = on_wait
        self._lock = threading.Lock()
        self._unconfirmed = 0
        self._failed: list[tuple[str, KafkaError]] = []

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Any = None,
        on_confirmed: Callable[[Message], None] | None = None,
        on_failed: Callable[[KafkaError], None] | None = None,
        partition: int = -1,
    ) -> None:
        """Queue one record, waiting for room while the client's queue is full. Raises Unreachable, SluiceError.

        `on_confirmed` gets the record with its partition and offset, `on_failed` the error of a record that Kafka did not
        take; `flush` then does not raise it. Both are called from the thread that serves the delivery report. `partition`:
        -1 lets the key decide.
        """
        report: DeliveryReport = self._report
        if on_confirmed is not None or on_failed is not None:
            report = partial(self._report, on_confirmed=on_confirmed, on_failed=on_failed)
        with self._lock:
            self._unconfirmed += 1
        try:
            enqueue(
                self._producer,
                topic,
                value,
                key,
                headers,
                report,
                timeout_s=self._timeout_s,
                on_wait=self._on_wait,
                partition=partition,
            )
        except BaseException:
            with self._lock:
                self._unconfirmed -= 1
            raise

    def flush(self) -> None:
        """Wait until every record is confirmed. Raises Unreachable, SluiceError: how many were not, and the first of them."""
        wait = _Wait(self._producer, self._timeout_s, self._on_wait)
        while self._unconfirmed and wait.serve_reports():
            pass
        with self._lock:
            failed, self._failed = self._failed, []
        if failed:
            name, error = failed[0]
            doing = f"publishing {self._count(len(failed))}, first {name}"
            raise kafka.translate(error, doing) from KafkaException(error)
        if self._unconfirmed:
            raise Unreachable(
                f"Kafka did not confirm {self._count(self._unconfirmed)} within {self._timeout_s:.0f} s.",
                next_step="They may still be written. Run `sluice doctor`, then try again.",
            )

    def purge(self) -> None:
        """Give up every record that is not confirmed, so that the next `flush` answers only for later ones.

        Gives up all records of the client, also those of others that share it.
        """
        self._producer.purge()
        wait = _Wait(self._producer, _PURGE_S, None)
        while self._unconfirmed and wait.serve_reports():
            pass
        with self._lock:
            self._failed = []

    def _count(self, number: int) -> str:
        return f"{number} {self._what}{'s' if number != 1 else ''}"

    def _report(
        self,
        error: KafkaError | None,
        message: Message,
        on_confirmed: Callable[[Message], None] | None = None,
        on_failed: Callable[[KafkaError], None] | None = None,
    ) -> None:
        with self._lock:
            self._unconfirmed -= 1
            if error is not None and on_failed is None:
                self._failed.append((_name(message), error))
        if error is not None and on_failed is not None:
            on_failed(error)
        if error is None and on_confirmed is not None:
            on_confirmed(message)


def enqueue(
    producer: LogProducer,
    topic: str,
    value: bytes | None,
    key: bytes | None,
    headers: Any,
    on_delivery: DeliveryReport | None,
    *,
    timeout_s: float = QUEUE_FULL_S,
    on_wait: Callable[[], None] | None = None,
    partition: int = -1,
) -> None:
    """Queue one record; while the client's queue is full, serve delivery reports, which makes room.

    Raises Unreachable when there is no room within `timeout_s`, SluiceError when the client refuses the record.
    """
    wait: _Wait | None = None
    fixed: Any = {} if partition < 0 else {"partition": partition}
    while True:
        try:
            return producer.produce(topic, value, key, headers=headers, on_delivery=on_delivery, **fixed)
        except BufferError as error:
            wait = wait or _Wait(producer, timeout_s, on_wait)
            if not wait.serve_reports():
                message = f"Kafka took no record for {topic} within {timeout_s:.0f} s: the client's queue stays full."
                raise Unreachable(message, next_step="Run `sluice doctor`, then try again.") from error
        except KafkaException as error:
            raise kafka.translate(error, f"publishing to {topic}") from error


class _Wait:
    """A bounded wait for delivery reports."""

    def __init__(self, producer: LogProducer, timeout_s: float, on_wait: Callable[[], None] | None) -> None:
        self._producer = producer
        self._on_wait = on_wait
        now = time.monotonic()
        self._end = now + timeout_s
        self._next_call = now + _ON_WAIT_EVERY_S

    def serve_reports(self) -> bool:
        """Serve reports, waiting a moment for the first; False when the time is over."""
        now = time.monotonic()
        if self._on_wait is not None and now >= self._next_call:
            self._on_wait()
            self._next_call = now + _ON_WAIT_EVERY_S
        if now >= self._end:
            return False
        self._producer.poll(min(_SLICE_S, self._end - now))
        return True


def _name(message: Message) -> str:
    """Return the job id, else the key, of a record that failed."""
    name = dict(message.headers() or []).get(JOB) or message.key() or b"?"
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
