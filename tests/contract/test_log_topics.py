"""Topics are created, listed, described and extended."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import NewPartitions

from streams.log import kafka
from streams.log.not_ready import retry_until_ready
from tests.harness.contract_log import PATIENCE_S, LogUnderTest, until

#: Typed as anything: its class methods have no annotations.
SPEC: Any = OffsetSpec


def test_topics_are_listed_and_described_with_unique_ids(log: LogUnderTest) -> None:
    assert set(log.admin.list_topics(timeout=PATIENCE_S).topics[log.topic].partitions) == {0, 1}
    first_id = describe(log).topic_id
    assert len(str(first_id)) == 22
    log.admin.delete_topics([log.topic])[log.topic].result(PATIENCE_S)
    until(lambda: log.topic not in log.admin.list_topics(timeout=PATIENCE_S).topics)
    log.make(log.topic)
    assert str(describe(log).topic_id) != str(first_id)


def test_an_unknown_topic_is_an_error(log: LogUnderTest) -> None:
    unknown = "contract.unknown"
    metadata = log.reader().list_topics(unknown, timeout=PATIENCE_S).topics[unknown]
    assert metadata.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    future = log.admin.describe_topics(TopicCollection([unknown]))[unknown]
    with pytest.raises(KafkaException) as refused:
        future.result(PATIENCE_S)
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_a_topic_can_not_be_created_twice_but_get_more_partitions(log: LogUnderTest) -> None:
    with pytest.raises(KafkaException) as refused:
        log.make(log.topic)
    assert refused.value.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
    log.admin.create_partitions([NewPartitions(log.topic, 3)])[log.topic].result(PATIENCE_S)
    listed = log.admin.list_topics
    until(lambda: len(listed(timeout=PATIENCE_S).topics[log.topic].partitions) == 3)


def describe(log: LogUnderTest) -> Any:
    topics = TopicCollection([log.topic])
    return retry_until_ready(lambda: log.admin.describe_topics(topics)[log.topic].result(PATIENCE_S))


def test_offsets_and_times_are_found_by_their_specification(log: LogUnderTest) -> None:
    for at_ms in (1_000, 9_000, 5_000):
        log.write("x", partition=0, timestamp=at_ms)

    def offset(spec: Any, partition: int = 0) -> tuple[int, int]:
        [future] = log.admin.list_offsets({TopicPartition(log.topic, partition): spec}).values()
        found = future.result(PATIENCE_S)
        return found.offset, found.timestamp

    assert [offset(spec)[0] for spec in (SPEC.earliest(), SPEC.latest())] == [0, 3]
    assert offset(SPEC.max_timestamp()) == (1, 9_000)
    assert offset(SPEC.for_timestamp(0)) == (0, 1_000)
    assert offset(SPEC.for_timestamp(2_000)) == (1, 9_000)
    assert offset(SPEC.for_timestamp(10_000)) == (-1, -1)
    assert [offset(spec, 1) for spec in (SPEC.max_timestamp(), SPEC.for_timestamp(0))] == [(-1, -1)] * 2


def test_a_group_that_has_committed_is_listed(log: LogUnderTest, group: str) -> None:
    consumer = log.member(group, **kafka.OUTSIDE)
    retry_until_ready(lambda: consumer.commit(offsets=[TopicPartition(log.topic, 0, 0)], asynchronous=False))
    assert group in [each.group_id for each in log.admin.list_consumer_groups().result(PATIENCE_S).valid]
