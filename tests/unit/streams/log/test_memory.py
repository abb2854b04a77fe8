"""What only the log in memory can do, and what no broker shows at will. Its promises as a log: tests/contract/test_log.py."""

from __future__ import annotations

import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.log.memory import MemoryConsumer, MemoryLog

FOREVER_S = 30.0


@pytest.fixture
def log() -> MemoryLog:
    made = MemoryLog()
    made.create_topic("t", 2)
    return made


def member(log: MemoryLog, told: list[str]) -> MemoryConsumer:
    made = log.consumer({"group.id": "g", "auto.offset.reset": "earliest"})
    made.subscribe(
        ["t"],
        lambda _, places: told.append(f"assigned {len(places)}"),
        lambda _, places: told.append(f"revoked {len(places)}"),
        lambda _, places: told.append(f"lost {len(places)}"),
    )
    return made


def test_a_poll_that_waits_is_woken_by_a_record(log: MemoryLog) -> None:
    consumer = member(log, [])
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(consumer.poll(FOREVER_S)))
    thread.start()
    log.producer().produce("t", b"x")
    thread.join(FOREVER_S)
    assert not thread.is_alive()
    assert found != [None]


def test_a_poll_that_waits_is_woken_by_a_member_that_leaves(log: MemoryLog) -> None:
    told: list[str] = []
    one, two = member(log, []), member(log, told)
    one.poll(0)
    two.poll(0)
    assert told == ["assigned 1"]
    thread = threading.Thread(target=two.consume, args=(1, FOREVER_S))
    thread.start()
    one.close()
    log.producer().produce("t", b"x", partition=0)
    thread.join(FOREVER_S)
    assert told == ["assigned 1", "assigned 1"]


def test_a_log_that_never_waits_answers_at_once() -> None:
    log = MemoryLog(waits=False)
    log.create_topic("t")
    began = time.monotonic()
    assert member(log, []).poll(FOREVER_S) is None
    assert log.producer().poll(FOREVER_S) == 0
    assert time.monotonic() - began < FOREVER_S / 2


def test_a_member_that_was_thrown_out_may_not_commit_and_hears_of_its_loss(log: MemoryLog) -> None:
    told: list[str] = []
    consumer = member(log, told)
    consumer.poll(0)
    [one] = log.group("g").members
    log.evict("g", one)
    with pytest.raises(KafkaException) as refused:
        consumer.commit(offsets=[TopicPartition("t", 0, 1)], asynchronous=False)
    assert refused.value.args[0].code() == KafkaError.STALE_MEMBER_EPOCH
    consumer.poll(0)
    assert told == ["assigned 2", "lost 2", "assigned 2"]


def test_a_member_that_dies_says_nothing_and_another_takes_over(log: MemoryLog) -> None:
    told: list[str] = []
    first, second = member(log, told), member(log, [])
    first.poll(0)
    first.die()
    second.poll(0)
    assert told == ["assigned 1"]
    assert len(second.assignment()) == 2
    with pytest.raises(RuntimeError, match="closed"):
        first.poll(0)


def test_compaction_leaves_the_last_word_of_each_key_with_its_offset(log: MemoryLog) -> None:
    producer = log.producer()
    for key, value in (("a", b"1"), ("b", b"1"), ("a", b"2"), ("b", None)):
        producer.produce("t", value, key, partition=0)
    log.compact("t")
    assert [(m.offset(), m.key(), m.value()) for m in log.records("t")] == [(2, b"a", b"2")]
    reader = log.consumer({"group.id": "r"})
    reader.assign([TopicPartition("t", 0, 0)])
    message = reader.poll(0)
    assert message is not None
    assert message.offset() == 2
    assert reader.get_watermark_offsets(TopicPartition("t", 0)) == (0, 4)


def test_a_name_is_one_log_until_it_is_forgotten() -> None:
    log = MemoryLog.at("memory:named")
    assert log is not None
    assert MemoryLog.at("memory:named") is log
    MemoryLog.forget("named")
    assert MemoryLog.at("memory:named") is not log
    MemoryLog.forget("named")
    assert MemoryLog.at("127.0.0.1:9092") is None


def test_lag_is_what_a_group_has_not_committed(log: MemoryLog) -> None:
    for _ in range(3):
        log.producer().produce("t", b"x", partition=0)
    assert log.lag("g", ["t"]) == 3
    log.consumer({"group.id": "g"}).commit(offsets=[TopicPartition("t", 0, 2)], asynchronous=False)
    assert log.lag("g", ["t"]) == 1
