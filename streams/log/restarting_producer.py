"""A Kafka producer that outlives a fatal error of its client, and whose records are refused only for their own size."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message

from streams import logs
from streams.log.port import DeliveryReport, LogProducer

log = logs.get("kafka")

#: A client is at least this old before it is replaced. A condition that fails each new client at once, such as a missing
#: permission, would otherwise make thousands of them.
YOUNGEST_S = 1.0
#: The reports of purged records are there at once.
_PURGE_S = 1.0
#: Longest wait for the reports of one client while the other one has records, too.
_SLICE_S = 0.02


class _Sent(NamedTuple):
    """A record as it was produced, to send it again."""

    topic: str
    value: bytes | str | None
    key: bytes | str | None
    partition: int
    timestamp: int
    headers: Any
    report: DeliveryReport


class RestartingProducer:
    """Keeps the promises of `streams.log.port.LogProducer` beyond a fatal error of its client.

    After a fatal error librdkafka accepts and sends nothing more, for ever, and raises the error from `poll`, `flush` and
    `produce`. This producer then makes a new client; each record that the old one had not confirmed gets its delivery report
    with an error. Such a record may have been written. Safe to share between threads.

    Kafka refuses a batch as a whole if it is larger than its topic allows, although each of its records may fit. `make_single`
    makes a client that sends one record a request: a record of such a batch is sent again by it, behind later records, before
    its report says that it is too large. Records without a report are not sent again.
    """

    def __init__(self, make: Callable[[], LogProducer], make_single: Callable[[], LogProducer] | None = None) -> None:
        self._make = make
        self._make_single = make_single
        self._single: LogProducer | None = None
        self._replacing = threading.Lock()
        self._client = make()
        self._made_at = time.monotonic()

    def produce(
        self,
        topic: str,
        value: bytes | str | None = None,
        key: bytes | str | None = None,
        partition: int = -1,
        callback: DeliveryReport | None = None,
        on_delivery: DeliveryReport | None = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        client = self._client
        report = on_delivery or callback
        if report is not None and self._make_single is not None:
            report = partial(self._reported, _Sent(topic, value, key, partition, timestamp, headers, report))
        try:
            client.produce(topic, value, key, partition, on_delivery=report, timestamp=timestamp, headers=headers)
        except KafkaException as error:
            if not _is_fatal(error) or not self._replace(client, error):
                raise
            self._client.produce(topic, value, key, partition, on_delivery=report, timestamp=timestamp, headers=headers)

    def poll(self, timeout: float = -1) -> int:
        client, single = self._client, self._single
        served = 0
        if single is not None and len(single):
            served = single.poll(0 if len(client) else min(timeout, _SLICE_S) if timeout >= 0 else _SLICE_S)
            timeout = 0 if served else min(timeout, _SLICE_S) if timeout >= 0 else _SLICE_S
        try:
            return served + client.poll(timeout)
        except KafkaException as error:
            return served + self._after(client, error)

    def flush(self, timeout: float = -1) -> int:
        until = time.monotonic() + timeout
        client = self._client
        try:
            left = client.flush(timeout)
        except KafkaException as error:
            left = self._after(client, error)
        # After the client: its reports may have sent records again.
        if (single := self._single) is not None:
            left += single.flush(timeout if timeout < 0 else max(0.0, until - time.monotonic()))
        return left

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        for client in (self._client, self._single):
            if client is not None:
                client.purge(in_queue, in_flight, blocking)

    def list_topics(self, *args: Any, **kwargs: Any) -> Any:
        client: Any = self._client
        return client.list_topics(*args, **kwargs)

    def __len__(self) -> int:
        return len(self._client) + (0 if self._single is None else len(self._single))

    def _reported(self, sent: _Sent, error: KafkaError | None, message: Message) -> None:
        """Pass a report on, unless the record's batch was too large: then send the record again, alone."""
        if error is None or error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
            sent.report(error, message)
            return
        try:
            self._alone().produce(*sent[:4], on_delivery=sent.report, timestamp=sent.timestamp, headers=sent.headers)
        except (BufferError, KafkaException):
            sent.report(error, message)

    def _alone(self) -> LogProducer:
        with self._replacing:
            if self._single is None:
                assert self._make_single is not None
                self._single = self._make_single()
                log.warning("batch_too_large", next="records of refused batches are sent alone, which is slow")
            return self._single

    def _after(self, client: LogProducer, error: KafkaException) -> int:
        """Replace a client after a fatal error; return 0. Raises any other error, and pauses before a client too young."""
        if not _is_fatal(error):
            raise error
        if not self._replace(client, error):
            time.sleep(0.05)  # the caller calls again at once
        return 0

    def _replace(self, client: LogProducer, error: KafkaException) -> bool:
        """Replace `client`, unless another thread has done so already; False if it is too young."""
        with self._replacing:
            if self._client is client:
                if time.monotonic() - self._made_at < YOUNGEST_S:
                    return False
                log.error("producer_replaced", code=error.args[0].name(), unconfirmed=len(client))
                self._client, self._made_at = self._make(), time.monotonic()
            else:
                return True
        # Outside the lock: a delivery report may produce again.
        _report_all(client)
        return True


def _report_all(client: LogProducer) -> None:
    """Give up the records that a failed client still has, and serve their delivery reports."""
    until = time.monotonic() + _PURGE_S
    client.purge()
    while len(client) and time.monotonic() < until:
        try:
            client.poll(0.05)
        except KafkaException as error:  # the fatal error once more
            if not _is_fatal(error):
                raise


def _is_fatal(error: KafkaException) -> bool:
    """True for a fatal error: librdkafka raises the error itself once, and after that _FATAL from each `produce`."""
    inner = error.args[0] if error.args else None
    return isinstance(inner, KafkaError) and (inner.fatal() or inner.code() == KafkaError._FATAL)
