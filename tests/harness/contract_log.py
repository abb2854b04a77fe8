"""A log for the contract tests: Kafka or the memory log behind `streams.log.kafka`, with a topic of its own for each test."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition
from confluent_kafka.cimpl import NewTopic

from streams.log import kafka
from streams.log.port import LogAdmin, LogConsumer, LogProducer
from streams.settings import Settings
from tests.harness.waiting import wait_until

PATIENCE_S = 20.0
PARTITIONS = 2


class LogUnderTest:
    """A fresh topic with two partitions, and clients that are closed at the end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topic = f"contract.{uuid.uuid4().hex[:10]}"
        self.admin: LogAdmin = kafka.admin(settings)
        self.producer: LogProducer = kafka.producer(settings)
        self._open: list[LogConsumer] = []
        self.make(self.topic)

    def make(self, topic: str, **config: str) -> None:
        self.admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=config)])[topic].result(PATIENCE_S)
        # Kafka answers once the controller has created it; brokers list it a moment later.
        until(lambda: topic in self.admin.list_topics(timeout=PATIENCE_S).topics)

    def write(self, *values: str, **more: Any) -> list[int]:
        """Write records and return their offsets."""
        offsets: list[int] = []

        def report(error: KafkaError | None, message: Any) -> None:
            assert error is None, error
            offsets.append(message.offset())

        for value in values:
            self.producer.produce(self.topic, value.encode(), on_delivery=report, **more)
        assert self.producer.flush(PATIENCE_S) == 0
        return offsets

    def member(self, group: str, **more: Any) -> LogConsumer:
        consumer = kafka.consumer(self.settings, group, **more)
        self._open.append(consumer)
        return consumer

    def reader(self, *partitions: TopicPartition, **more: Any) -> LogConsumer:
        consumer = kafka.reader(self.settings, **more)
        self._open.append(consumer)
        consumer.assign(list(partitions))
        return consumer

    def at(self, partition: int, offset: int = OFFSET_BEGINNING) -> TopicPartition:
        return TopicPartition(self.topic, partition, offset)

    def close(self) -> None:
        for consumer in self._open:
            consumer.close()
        self.admin.delete_topics([self.topic])[self.topic].result(PATIENCE_S)


def until(condition: Callable[[], bool], step: Callable[[], Any] | None = None) -> None:
    """Wait until the condition holds, with `step` (or a short pause) between two checks."""
    wait_until(condition, lambda: "it did not happen in time", PATIENCE_S, *([step] if step else []))


def read(consumer: LogConsumer, count: int) -> list[Any]:
    """Read this many messages, errors included."""
    found: list[Any] = []
    until(lambda: len(found) >= count, lambda: found.extend(consumer.consume(count - len(found), 0.2)))
    return found


def first(consumer: LogConsumer) -> Any:
    return read(consumer, 1)[0]


def values(messages: list[Any]) -> list[str]:
    assert [message.error() for message in messages] == [None] * len(messages)
    return [message.value().decode() for message in messages]


class Member:
    """A member of a group, with its partitions and callbacks recorded."""

    def __init__(self, log: LogUnderTest, group: str, **more: Any) -> None:
        self.owns: set[int] = set()
        self.callbacks: list[str] = []
        self.commits: list[Any] = []
        self.consumer = log.member(
            group, **{"auto.offset.reset": "earliest", "on_commit": lambda *commit: self.commits.append(commit), **more}
        )
        self.consumer.subscribe([log.topic], self._assigned, self._revoked, self._lost)

    def _assigned(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self.callbacks.append("assigned")
        self.owns |= {p.partition for p in partitions}
        consumer.incremental_assign(partitions)

    def _revoked(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self.callbacks.append("revoked")
        self.owns -= {p.partition for p in partitions}
        consumer.incremental_unassign(partitions)

    def _lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self.callbacks.append("lost")
        self.owns -= {p.partition for p in partitions}
        consumer.incremental_unassign(partitions)
