"""A batch is what the consumer has when its first message comes."""

from __future__ import annotations

from confluent_kafka import TopicPartition

from streams.log.memory import MemoryLog
from streams.log.polling import poll_batch


def test_a_batch_holds_everything_there_is_up_to_its_limit() -> None:
    log = MemoryLog()
    log.create_topic("t")
    producer, consumer = log.producer(), log.consumer({"group.id": "g"})
    for number in range(5):
        producer.produce("t", b"%d" % number)
    consumer.assign([TopicPartition("t", 0, 0)])
    assert [message.value() for message in poll_batch(consumer, 3, 1.0)] == [b"0", b"1", b"2"]
    assert [message.value() for message in poll_batch(consumer, 1, 1.0)] == [b"3"]
    assert [message.value() for message in poll_batch(consumer, 3, 1.0)] == [b"4"]
    assert poll_batch(consumer, 3, 0) == []
