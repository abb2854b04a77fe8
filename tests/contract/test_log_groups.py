"""Members of a group share partitions, commit offsets, and are described."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition
from confluent_kafka.cimpl import NewPartitions

from tests.harness.contract_log import PATIENCE_S, LogUnderTest, Member, first, read, until, values


def test_a_single_member_gets_every_partition_during_poll(log: LogUnderTest, group: str) -> None:
    member = Member(log, group)
    assert member.callbacks == []
    until(lambda: member.owns == {0, 1}, lambda: member.consumer.poll(0.1))
    assert {p.partition for p in member.consumer.assignment()} == {0, 1}


def test_offsets_and_their_metadata_are_the_groups_and_outlive_the_member(log: LogUnderTest, group: str) -> None:
    log.write("a", "b", "c", partition=0)
    member = Member(log, group)
    until(lambda: member.owns == {0, 1}, lambda: member.consumer.poll(0.1))
    kept = TopicPartition(log.topic, 0, 2, "holes 3-4")
    assert member.consumer.commit(offsets=[kept], asynchronous=False) is not None
    member.consumer.close()
    after = log.member(group)
    found = after.committed([log.at(0), log.at(1)], timeout=PATIENCE_S)
    assert [(p.offset, p.metadata or "") for p in found] == [(2, "holes 3-4"), (OFFSET_INVALID, "")]
    after.subscribe([log.topic])
    records = [message for message in read(after, 2) if message.error() is None]
    assert values(records) == ["c"]  # the other partition has no offset, which is an error by the reset policy


def test_an_asynchronous_commit_calls_back_during_poll(log: LogUnderTest, group: str) -> None:
    log.write("a", partition=0)
    member = Member(log, group)
    message = first(member.consumer)
    assert member.consumer.commit(message=message, asynchronous=True) is None
    until(lambda: bool(member.commits), lambda: member.consumer.poll(0.1))
    error, offsets = member.commits[0]
    assert error is None
    assert [(p.topic, p.partition, p.offset) for p in offsets] == [(log.topic, 0, 1)]
    assert member.consumer.committed([log.at(0)], timeout=PATIENCE_S)[0].offset == 1


def test_a_second_member_takes_its_share_after_the_first_has_revoked_it(log: LogUnderTest, group: str) -> None:
    one = Member(log, group)
    until(lambda: one.owns == {0, 1}, lambda: one.consumer.poll(0.1))
    two = Member(log, group)

    def both() -> None:
        one.consumer.poll(0.05)
        two.consumer.poll(0.05)
        assert not one.owns & two.owns

    until(lambda: len(one.owns) == len(two.owns) == 1, both)
    assert one.callbacks[:2] == ["assigned", "revoked"]
    two.consumer.close()
    assert two.callbacks == ["assigned", "revoked"]
    until(lambda: one.owns == {0, 1}, lambda: one.consumer.poll(0.1))


def test_a_client_outside_the_group_can_not_commit_while_it_has_members(log: LogUnderTest, group: str) -> None:
    member = Member(log, group)
    until(lambda: bool(member.owns), lambda: member.consumer.poll(0.1))
    outsider = log.member(group, **{"group.protocol": "classic"})
    with pytest.raises(KafkaException) as refused:
        outsider.commit(offsets=[log.at(0, 1)], asynchronous=False)
    assert refused.value.args[0].code() in (
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.NON_EMPTY_GROUP,
        KafkaError.STALE_MEMBER_EPOCH,
    )
    member.consumer.close()
    outsider.commit(offsets=[log.at(0, 1)], asynchronous=False)
    assert outsider.committed([log.at(0)], timeout=PATIENCE_S)[0].offset == 1


def test_a_missing_offset_is_an_error_with_auto_offset_reset_error(log: LogUnderTest, group: str) -> None:
    log.write("a", partition=0)
    member = Member(log, group, **{"auto.offset.reset": "error"})
    message = first(member.consumer)
    assert message.error().code() == KafkaError._AUTO_OFFSET_RESET


def test_partitions_that_are_added_reach_the_members(log: LogUnderTest, group: str) -> None:
    member = Member(log, group, **{"metadata.max.age.ms": 500, "topic.metadata.refresh.interval.ms": 500})
    until(lambda: member.owns == {0, 1}, lambda: member.consumer.poll(0.1))
    log.admin.create_partitions([NewPartitions(log.topic, 3)])[log.topic].result(PATIENCE_S)
    until(lambda: member.owns == {0, 1, 2}, lambda: member.consumer.poll(0.1))


def test_a_group_is_described_with_its_members_and_their_partitions(log: LogUnderTest, group: str) -> None:
    def description() -> Any:
        return log.admin.describe_consumer_groups([group])[group].result(PATIENCE_S)

    assert description().members == []  # an unknown group
    member = Member(log, group, **{"client.id": "worker-7"})
    until(lambda: member.owns == {0, 1}, lambda: member.consumer.poll(0.1))
    [described] = description().members
    assert (described.client_id, {p.partition for p in described.assignment.topic_partitions}) == ("worker-7", {0, 1})
    member.consumer.close()
    until(lambda: description().members == [])


def test_a_member_waits_for_a_topic_that_does_not_exist_yet(log: LogUnderTest, group: str) -> None:
    log.admin.delete_topics([log.topic])[log.topic].result(PATIENCE_S)
    until(lambda: log.topic not in log.admin.list_topics(timeout=PATIENCE_S).topics)
    member = Member(log, group, **{"topic.metadata.refresh.interval.ms": 500})
    assert member.consumer.poll(0.1) is None
    log.make(log.topic)
    until(lambda: member.owns == {0, 1}, lambda: member.consumer.poll(0.1))
