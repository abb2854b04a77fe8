"""Reads the records of a topic, whole, without a consumer group."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, TopicPartition

from streams.log import kafka
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer
from streams.settings import Settings
from tests.harness.waiting import wait_until


def read_topic(settings: Settings, topic: str) -> list[Any]:
    """Return every record that the topic holds now. A partition may end with a transaction's marker, which is no record."""
    consumer = kafka.reader(settings, **{"enable.partition.eof": True})
    partitions = [TopicPartition(topic, p, 0) for p in consumer.list_topics(topic, timeout=10).topics[topic].partitions]
    ends = {place.partition: consumer.get_watermark_offsets(place, 10)[1] for place in partitions}
    consumer.assign(partitions)
    found: list[Any] = []
    left = {partition for partition, end in ends.items() if end > 0}
    while left:
        batch = poll_batch(consumer, 500, 10.0)
        assert batch, f"{topic} holds more records in partitions {sorted(left)}, and none came within 10 s"
        for message in batch:
            error = message.error()
            assert error is None or error.code() == KafkaError._PARTITION_EOF, error
            if error is None:
                found.append(message)
            if error is not None or (message.offset() or 0) + 1 >= ends[message.partition() or 0]:
                left.discard(message.partition() or 0)
    consumer.close()
    return found


def read_records(settings: Settings, topic: str, count: int) -> list[Any]:
    """Wait for `count` records of the topic and return them."""
    consumer = kafka.reader(settings)
    consumer.assign([TopicPartition(topic, number, 0) for number in range(settings.partitions)])
    found: list[Any] = []
    wait_until(
        lambda: len(found) >= count,
        lambda: f"{len(found)} records in {topic}, not {count}",
        step=lambda: found.extend(_read(consumer, count - len(found), 0.1)),
    )
    consumer.close()
    return found


def _read(consumer: LogConsumer, limit: int, timeout_s: float) -> list[Any]:
    batch = poll_batch(consumer, limit, timeout_s)
    assert [error for message in batch if (error := message.error())] == []
    return batch
