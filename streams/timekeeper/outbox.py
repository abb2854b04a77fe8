"""What the timekeeper writes to the log, and the proof that it got there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from schemas.errors import Unreachable
from streams.log import kafka
from streams.settings import Settings

TIMEOUT_S = 30.0


class Outbox:
    """`put` any number, then `settle`. Used by one thread. `pulse` is called at least once a second meanwhile."""

    def __init__(self, settings: Settings, pulse: Callable[[], None]) -> None:
        self._producer = kafka.producer(settings)
        self._pulse = pulse
        self._failed: list[KafkaError] = []

    def put(self, topic: str, key: bytes | None, value: bytes, headers: Mapping[str, Any]) -> None:
        """Queue one record. Raises Unreachable."""
        try:
            self._producer.produce(topic, value, key, headers=list(headers.items()), on_delivery=self._report)
        except BufferError:  # the queue is full: reports make room
            self.settle()
            self.put(topic, key, value, headers)
        except KafkaException as error:
            raise Unreachable(f"Kafka did not take a record for {topic}: {error}.") from error

    def settle(self) -> None:
        """Wait for the delivery reports. Raises Unreachable when not all came, and all were good."""
        until = time.monotonic() + TIMEOUT_S
        while (left := self._producer.flush(1.0)) and time.monotonic() < until:
            self._pulse()
        failed, self._failed = self._failed, []
        if left or failed:
            self._producer.purge()
            raise Unreachable(f"{left + len(failed)} records were not confirmed by Kafka.")

    def _report(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed.append(error)
