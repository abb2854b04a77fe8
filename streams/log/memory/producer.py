"""Writes at once and reports later: a record is in the log when `produce` returns, its delivery report waits for `poll`."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from streams.log.memory.admin import MemoryAdmin
from streams.log.memory.partitioner import partition_of
from streams.log.memory.shared import SharedLog
from streams.log.memory.topic import PlainHeaders, StoredRecord, message_of, plain_headers
from streams.log.port import DeliveryReport

#: librdkafka's default for `message.max.bytes`.
_LARGEST = 1_000_000


class MemoryProducer:
    """See `streams.log.port.LogProducer`. May be shared between threads; the thread that polls serves the reports."""

    def __init__(self, log: SharedLog, config: Mapping[str, Any]) -> None:
        self._log = log
        self._largest = int(config.get("message.max.bytes", _LARGEST))
        self._reported = threading.Condition()
        self._reports: deque[tuple[DeliveryReport | None, KafkaError | None, Message]] = deque()

    def __len__(self) -> int:
        return len(self._reports)

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
        key, value, plain = _encoded(key), _encoded(value), plain_headers(headers)
        if len(key or b"") + len(value or b"") > self._largest:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        error, message = self._write(
            topic, partition, StoredRecord(-1, key, value, plain, timestamp or self._log.now_ms())
        )
        with self._reported:
            self._reports.append((on_delivery or callback, error, message))
            self._reported.notify()

    def poll(self, timeout: float = -1) -> int:
        with self._reported:
            if not self._reports and timeout and self._log.waits:
                self._reported.wait(None if timeout < 0 else timeout)
        served = 0
        while self._reports:
            try:
                report, error, message = self._reports.popleft()
            except IndexError:  # another thread took the last one
                break
            served += 1
            if report is not None:
                report(error, message)
        return served

    def flush(self, timeout: float = -1) -> int:
        while self._reports:  # a report may produce again
            self.poll(0)
        return 0

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """Do nothing: every record is in the log already."""

    def close(self, timeout: float = -1) -> bool:
        self.flush(timeout)
        return True

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        return MemoryAdmin(self._log).list_topics(topic, timeout)

    def _write(self, topic: str, partition: int, record: StoredRecord) -> tuple[KafkaError | None, Message]:
        try:
            number = self._partition(topic, partition, record.key, record.value, record.headers)
            offset = self._log.append(topic, number, *record[1:])
        except KafkaException as error:
            failed: KafkaError = error.args[0]
            fields: Any = {"key": record.key, "value": record.value, "headers": record.headers, "error": failed}
            return failed, Message(topic=topic, partition=max(0, partition), **fields)
        return None, message_of(topic, number, record._replace(offset=offset))

    def _partition(
        self, name: str, partition: int, key: bytes | None, value: bytes | None, headers: PlainHeaders | None
    ) -> int:
        topic = self._log.topic(name)
        if not topic.accepts(key, value, headers):
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        if partition >= 0:
            return partition
        count = len(topic.partitions)
        return random.randrange(count) if key is None else partition_of(key, count)  # noqa: S311


def _encoded(text: bytes | str | None) -> bytes | None:
    return text.encode() if isinstance(text, str) else text
