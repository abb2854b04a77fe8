"""A Kafka producer without a broker: its queue, its reports and its errors are the test's."""

from __future__ import annotations

from collections import deque
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message


class FakeClient:
    """A client with room for `room` records. `answers`: the error of each record's report in turn, then none."""

    def __init__(self, room: int = 100, answers: tuple[int, ...] = (), silent: bool = False) -> None:
        self.room = room
        self.answers = deque(answers)
        self.silent = silent
        self.queued: deque[tuple[Any, Message]] = deque()
        self.purged = False

    def produce(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int = -1,
        callback: Any = None,
        on_delivery: Any = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        if len(self.queued) >= self.room:
            raise BufferError
        if value == b"too large":
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        self.queued.append((on_delivery, Message(topic=topic, key=key, value=value, headers=headers)))

    def poll(self, timeout: float = -1) -> int:
        if self.silent or not self.queued:
            return 0
        report, message = self.queued.popleft()
        error = KafkaError(self.answers.popleft()) if self.answers else None
        report(error, message)
        return 1

    def flush(self, timeout: float = -1) -> int:
        return len(self.queued)

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        self.purged, self.silent = True, False
        self.answers = deque([KafkaError._PURGE_QUEUE] * len(self.queued))

    def __len__(self) -> int:
        return len(self.queued)
