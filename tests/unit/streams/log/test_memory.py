"""Behaviour of the memory log beyond the port (tests/contract/test_log_*.py), such as evictions and compaction on demand."""

from __future__ import annotations

import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.log.memory import MemoryConsumer, MemoryLog
from streams.log.port import LogAdmin, LogConsumer, LogProducer

FOREVER_S = 30.0


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    log.create_topic("t", 2)
    return log


def member(log: MemoryLog, callbacks: list[str]) -> MemoryConsumer:
    consumer = log.consumer({"group.id": "g", "auto.offset.reset": "earliest"})
    consumer.subscribe(
        ["t"],
        lambda _, partitions: callbacks.append(f"assigned {len(partitions)}"),
        lambda _, partitions: callbacks.append(f"revoked {len(partitions)}"),
        lambda _, partitions: callbacks.append(f"lost {len(partitions)}"),
    )
    return consumer


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
    callbacks: list[str] = []
    one, two = member(log, []), member(log, callbacks)
    one.poll(0)
    two.poll(0)
    assert callbacks == ["assigned 1"]
    thread = threading.Thread(target=two.consume, args=(1, FOREVER_S))
    thread.start()
    one.close()
    log.producer().produce("t", b"x", partition=0)
    thread.join(FOREVER_S)
    assert callbacks == ["assigned 1", "assigned 1"]


def test_a_log_that_never_waits_answers_at_once() -> None:
    log = MemoryLog(waits=False)
    log.create_topic("t")
    began = time.monotonic()
    assert member(log, []).poll(FOREVER_S) is None
    assert log.producer().poll(FOREVER_S) == 0
    assert time.monotonic() - began < FOREVER_S / 2


def test_an_evicted_member_may_not_commit_and_its_partitions_are_lost(log: MemoryLog) -> None:
    callbacks: list[str] = []
    consumer = member(log, callbacks)
    consumer.poll(0)
    [evicted] = log.group("g").members
    log.evict("g", evicted)
    with pytest.raises(KafkaException) as refused:
        consumer.commit(offsets=[TopicPartition("t", 0, 1)], asynchronous=False)
    assert refused.value.args[0].code() == KafkaError.STALE_MEMBER_EPOCH
    consumer.poll(0)
    assert callbacks == ["assigned 2", "lost 2", "assigned 2"]


def test_a_member_that_dies_revokes_nothing_and_another_takes_over(log: MemoryLog) -> None:
    callbacks: list[str] = []
    first, second = member(log, callbacks), member(log, [])
    first.poll(0)
    first.die()
    second.poll(0)
    assert callbacks == ["assigned 1"]
    assert len(second.assignment()) == 2
    with pytest.raises(RuntimeError, match="closed"):
        first.poll(0)


def test_compaction_keeps_the_last_record_of_each_key_with_its_offset(log: MemoryLog) -> None:
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


def test_the_memory_clients_have_every_method_of_the_port() -> None:
    log = MemoryLog()
    clients: tuple[LogProducer, LogConsumer, LogAdmin] = (log.producer(), log.consumer({"group.id": "g"}), log.admin())
    for client, port in zip(clients, (LogProducer, LogConsumer, LogAdmin), strict=True):
        assert {name for name in vars(port) if not name.startswith("_")} <= set(dir(client))
