"""Creates, changes and describes the topics of a memory log, with the methods of confluent_kafka's AdminClient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, Node, TopicPartition, Uuid
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry
from confluent_kafka.admin._group import (
    ConsumerGroupDescription,
    ConsumerGroupListing,
    ListConsumerGroupsResult,
    MemberAssignment,
    MemberDescription,
)
from confluent_kafka.admin._listoffsets import ListOffsetsResultInfo
from confluent_kafka.admin._metadata import BrokerMetadata, ClusterMetadata, PartitionMetadata, TopicMetadata
from confluent_kafka.admin._records import DeletedRecords
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.admin._topic import TopicDescription

from streams.log.memory.group import Group, PartitionKey
from streams.log.memory.shared import SharedLog
from streams.log.memory.topic import LARGEST_RECORD, MemoryTopic

#: The part of the local stack's broker config (streams/stack/kafka.py) that is read anywhere.
BROKER_CONFIG = {
    "offsets.retention.minutes": str(30 * 24 * 60),
    "group.consumer.session.timeout.ms": "10000",
    "group.consumer.heartbeat.interval.ms": "2000",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "1000",
    "message.max.bytes": str(LARGEST_RECORD),
}
_BROKER_ID = 1


class MemoryAdmin:
    """See `streams.log.port.LogAdmin`. Every future is done when it is returned."""

    def __init__(self, log: SharedLog) -> None:
        self._log = log

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        with self._log.changed:
            names = list(self._log.topics) if topic is None else [topic]
            cluster = ClusterMetadata()
            cluster.controller_id, cluster.orig_broker_id = _BROKER_ID, _BROKER_ID
            broker = BrokerMetadata()
            broker.id = _BROKER_ID
            cluster.brokers = {_BROKER_ID: broker}
            cluster.topics = {name: _metadata(name, self._log.topics.get(name)) for name in names}
            return cluster

    def create_topics(self, new_topics: list[Any], **more: Any) -> dict[str, Future[Any]]:
        return {
            new.topic: _done(self._log.create_topic, new.topic, new.num_partitions, new.config) for new in new_topics
        }

    def create_partitions(self, new_partitions: list[Any], **more: Any) -> dict[str, Future[Any]]:
        return {new.topic: _done(self._log.add_partitions, new.topic, new.new_total_count) for new in new_partitions}

    def delete_topics(self, topics: list[str], **more: Any) -> dict[str, Future[Any]]:
        return {name: _done(self._log.delete_topic, name) for name in topics}

    def delete_records(
        self, topic_partition_offsets: list[TopicPartition], **more: Any
    ) -> dict[TopicPartition, Future[Any]]:
        return {partition: _done(self._delete, partition) for partition in topic_partition_offsets}

    def describe_topics(self, topics: Any, **more: Any) -> dict[str, Future[Any]]:
        return {name: _done(self._describe, name) for name in topics.topic_names}

    def describe_configs(self, resources: list[Any], **more: Any) -> dict[Any, Future[Any]]:
        return {resource: _done(self._config, resource) for resource in resources}

    def incremental_alter_configs(self, resources: list[Any], **more: Any) -> dict[Any, Future[Any]]:
        return {resource: _done(self._alter, resource) for resource in resources}

    def describe_consumer_groups(self, group_ids: list[str], **more: Any) -> dict[str, Future[Any]]:
        return {group_id: _done(self._group, group_id) for group_id in group_ids}

    def list_offsets(
        self, topic_partition_offsets: dict[TopicPartition, Any], **more: Any
    ) -> dict[TopicPartition, Future[Any]]:
        return {place: _done(self._offset, place, spec) for place, spec in topic_partition_offsets.items()}

    def list_consumer_groups(self, **more: Any) -> Future[Any]:
        with self._log.changed:
            groups = [ConsumerGroupListing(group_id, False) for group_id in sorted(self._log.groups)]
        return _done(ListConsumerGroupsResult, groups)

    def _offset(self, place: TopicPartition, spec: Any) -> ListOffsetsResultInfo:
        with self._log.changed:
            partition = self._log.partition(place.topic, place.partition)
            kind = type(spec).__name__
            if kind in ("EarliestSpec", "LatestSpec"):
                return ListOffsetsResultInfo(partition.begin if kind == "EarliestSpec" else partition.end, -1, 0)
            if kind == "MaxTimestampSpec":
                found = max(partition.records, key=lambda record: record.timestamp_ms, default=None)
            else:
                found = next((record for record in partition.records if record.timestamp_ms >= spec.timestamp), None)
            offset, at_ms = (-1, -1) if found is None else (found.offset, found.timestamp_ms)
            return ListOffsetsResultInfo(offset, at_ms, 0)

    def _group(self, group_id: str) -> ConsumerGroupDescription:
        with self._log.changed:
            group = self._log.groups.get(group_id, Group())
            members = [
                MemberDescription(
                    member.member_id, member.client_id, "", MemberAssignment(_topic_partitions(group.owned_by(member)))
                )
                for member in group.members
            ]
            state = ConsumerGroupState.STABLE if members else ConsumerGroupState.EMPTY
            return ConsumerGroupDescription(group_id, False, members, "range", state, Node(_BROKER_ID, "", -1))

    def _describe(self, name: str) -> TopicDescription:
        with self._log.changed:
            return _description(self._log.topic(name))

    def _delete(self, before: TopicPartition) -> DeletedRecords:
        with self._log.changed:
            partition = self._log.partition(before.topic, before.partition)
            if before.offset > partition.end:
                raise KafkaException(KafkaError(KafkaError.OFFSET_OUT_OF_RANGE))
            partition.delete_before(partition.end if before.offset < 0 else before.offset)
            return DeletedRecords(partition.begin)

    def _config(self, resource: Any) -> dict[str, ConfigEntry]:
        with self._log.changed:
            found = BROKER_CONFIG
            if resource.restype == ResourceType.TOPIC:
                found = {"max.message.bytes": str(LARGEST_RECORD), **self._log.topic(resource.name).config}
            return {name: ConfigEntry(name, value) for name, value in found.items()}

    def _alter(self, resource: Any) -> None:
        with self._log.changed:
            _change(self._log.topic(resource.name).config, resource.incremental_configs)


def _topic_partitions(keys: Iterable[PartitionKey]) -> list[TopicPartition]:
    return [TopicPartition(*key) for key in sorted(keys)]


def _change(config: dict[str, str], entries: Iterable[ConfigEntry]) -> None:
    for entry in entries:
        if entry.incremental_operation == AlterConfigOpType.DELETE or entry.value is None:
            config.pop(entry.name, None)
        else:
            config[entry.name] = str(entry.value)


def _metadata(name: str, topic: MemoryTopic | None) -> TopicMetadata:
    metadata = TopicMetadata()
    metadata.topic = name
    if topic is None:
        metadata.error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return metadata
    for number in range(len(topic.partitions)):
        partition = metadata.partitions[number] = PartitionMetadata()
        partition.id, partition.leader = number, _BROKER_ID
        partition.replicas, partition.isrs = [_BROKER_ID], [_BROKER_ID]
    return metadata


def _description(topic: MemoryTopic) -> TopicDescription:
    high, low = topic.topic_id.int >> 64, topic.topic_id.int & (2**64 - 1)
    return TopicDescription(topic.name, Uuid(_signed(high), _signed(low)), False, [])


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _done(call: Callable[..., Any], *args: Any) -> Future[Any]:
    future: Future[Any] = Future()
    try:
        future.set_result(call(*args))
    except KafkaException as error:
        future.set_exception(error)
    return future
