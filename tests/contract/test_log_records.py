"""Written records are in order, keep their content, and each gets one delivery report."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.harness.contract_log import PATIENCE_S, LogUnderTest, read, until, values


def test_a_partitions_records_come_in_the_order_in_which_they_were_written(log: LogUnderTest) -> None:
    wrote = [f"{n}" for n in range(50)]
    assert log.write(*wrote, partition=1) == list(range(50))
    messages = read(log.reader(log.at(1)), 50)
    assert values(messages) == wrote
    assert [message.offset() for message in messages] == list(range(50))


def test_a_record_is_read_as_it_was_written(log: LogUnderTest) -> None:
    at = 1_700_000_000_123
    log.write("value", key="key", timestamp=at, headers=[("one", b"1"), ("one", "again"), ("none", None)], partition=0)
    log.producer.produce(log.topic, None, b"tombstone", partition=0)
    log.producer.flush(PATIENCE_S)
    message, tombstone = read(log.reader(log.at(0)), 2)
    assert (message.topic(), message.partition(), message.offset()) == (log.topic, 0, 0)
    assert (message.key(), message.value(), len(message)) == (b"key", b"value", 5)
    assert message.headers() == [("one", b"1"), ("one", b"again"), ("none", None)]
    assert message.timestamp()[1] == at
    assert (tombstone.key(), tombstone.value(), tombstone.headers()) == (b"tombstone", None, None)
    assert tombstone.timestamp()[1] > at


def test_a_key_decides_the_partition_as_in_every_other_client(log: LogUnderTest) -> None:
    """Keys of 1 to 7 bytes, of whole words with a rest, and the empty key; expected values from Java's murmur2."""
    keys = ["a", "bc", "def", "ghij", "klmno", "pqrstu", "vwxyz12", "ordering key", "019a3c5e-7c1b-7d2e", ""]
    partitions: dict[str, int] = {}
    for key in keys:
        log.producer.produce(log.topic, b"", key, on_delivery=partial(_record_partition, partitions, key))
    log.producer.flush(PATIENCE_S)
    assert [partitions[key] for key in keys] == [0, 0, 0, 1, 0, 1, 1, 0, 0, 1]


def _record_partition(partitions: dict[str, int], key: str, error: KafkaError | None, message: Any) -> None:
    partitions[key] = message.partition()


def test_reports_come_while_the_producer_polls_and_name_the_offset_of_the_record(log: LogUnderTest) -> None:
    reports: list[Any] = []
    for n in range(3):
        log.producer.produce(log.topic, b"%d" % n, partition=0, on_delivery=lambda *report: reports.append(report))
    assert len(log.producer) == 3
    until(lambda: len(reports) == 3, lambda: log.producer.poll(0.2))
    assert [(error, message.offset()) for error, message in reports] == [(None, 0), (None, 1), (None, 2)]
    assert len(log.producer) == 0


def test_a_record_too_large_for_the_broker_is_reported_as_such(log: LogUnderTest) -> None:
    reports: list[Any] = []
    log.producer.produce(log.topic, b"x" * 1_100_000, on_delivery=lambda error, _: reports.append(error))
    log.producer.flush(PATIENCE_S)
    assert [error.code() for error in reports] == [KafkaError.MSG_SIZE_TOO_LARGE]
    assert not reports[0].retriable()


def test_a_record_too_large_for_the_client_is_refused_at_once(log: LogUnderTest) -> None:
    with pytest.raises(KafkaException) as refused:
        log.producer.produce(log.topic, b"x" * 9_000_000)
    assert refused.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert len(log.producer) == 0
