"""Replaces a Kafka producer whose client has failed for good, so that its owner need not start again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from streams import logs
from streams.log.port import DeliveryReport, LogProducer

log = logs.get("kafka")

#: A client is at least this old before it is replaced. A condition that fails each new client at once, such as a missing
#: permission, would otherwise make thousands of them.
YOUNGEST_S = 1.0
#: The reports of purged records are there at once.
_PURGE_S = 1.0


class RestartingProducer:
    """Keeps the promises of `streams.log.port.LogProducer` beyond a fatal error of its client.

    After a fatal error librdkafka accepts and sends nothing more, for ever, and raises the error from `poll`, `flush` and
    `produce`. This producer then makes a new client; each record that the old one had not confirmed gets its delivery report
    with an error. Such a record may have been written. Safe to share between threads.
    """

    def __init__(self, make: Callable[[], LogProducer]) -> None:
        self._make = make
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
        try:
            client.produce(topic, value, key, partition, on_delivery=report, timestamp=timestamp, headers=headers)
        except KafkaException as error:
            if not _is_fatal(error) or not self._replace(client, error):
                raise
            self._client.produce(topic, value, key, partition, on_delivery=report, timestamp=timestamp, headers=headers)

    def poll(self, timeout: float = -1) -> int:
        client = self._client
        try:
            return client.poll(timeout)
        except KafkaException as error:
            return self._after(client, error)

    def flush(self, timeout: float = -1) -> int:
        client = self._client
        try:
            return client.flush(timeout)
        except KafkaException as error:
            return self._after(client, error)

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        self._client.purge(in_queue, in_flight, blocking)

    def list_topics(self, *args: Any, **kwargs: Any) -> Any:
        client: Any = self._client
        return client.list_topics(*args, **kwargs)

    def __len__(self) -> int:
        return len(self._client)

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
