"""The log as a port: the part of confluent_kafka's clients that the engine uses, and is typed against.

Two implementations keep these promises: the clients of confluent_kafka on a real broker, and `streams.log.memory` within this
process. One suite tests both (tests/contract/test_log_*.py). Names, argument order and errors are confluent_kafka's own, so
that there is no layer between the engine and the real clients.

Records, partitions and errors are confluent_kafka's `Message`, `TopicPartition`, `KafkaError` and `KafkaException` in both. A
client belongs to one thread; only a producer may be shared. Rebalance and commit callbacks run inside the consumer's
`poll`, `consume` and `close`; delivery reports inside the producer's `poll` and `flush`. Timeouts are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from confluent_kafka import KafkaError, Message, TopicPartition

#: Called once for each record, with its error or None, and the record with its partition and offset.
DeliveryReport = Callable[[KafkaError | None, Message], None]
#: Called with the consumer and the partitions; those that it does not (un)assign are (un)assigned after it.
Rebalance = Callable[[Any, list[TopicPartition]], None]
#: Called for each asynchronous commit, with its error or None, and the offsets.
OnCommit = Callable[[KafkaError | None, list[TopicPartition]], None]
Headers = Sequence[tuple[str, bytes | str | None]] | Mapping[str, bytes | str | None]


class LogProducer(Protocol):
    """Writes records. Each gets one delivery report; records of one partition are in the order of their `produce` calls."""

    def produce(
        self,
        topic: str,
        value: bytes | str | None = None,
        key: bytes | str | None = None,
        partition: int = -1,
        callback: DeliveryReport | None = None,
        on_delivery: DeliveryReport | None = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        """Queue a record. Without a partition the key decides (murmur2, as in Java), without a key the choice is random.

        Raises BufferError when the queue is full, KafkaException when the client refuses it (larger than `message.max.bytes`).
        """
        ...

    def poll(self, timeout: float = -1) -> int:
        """Serve delivery reports, waiting up to `timeout` for the first; return how many."""
        ...

    def flush(self, timeout: float = -1) -> int:
        """Serve delivery reports until none is outstanding; return how many still are after `timeout`."""
        ...

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """Give up all records that are not confirmed; their reports carry an error."""
        ...

    def __len__(self) -> int:
        """Return the number of records without a report."""
        ...


class LogConsumer(Protocol):
    """Reads records: as a member of its group (`subscribe`), or from the partitions it assigns to itself."""

    def subscribe(
        self,
        topics: list[str],
        on_assign: Rebalance | None = None,
        on_revoke: Rebalance | None = None,
        on_lost: Rebalance | None = None,
    ) -> None:
        """Join the group. A partition moves only after its owner's `on_revoke` has returned. `on_lost` means that the group
        has already given the partition away: nothing may be committed."""
        ...

    def unsubscribe(self) -> None: ...

    def poll(self, timeout: float = -1) -> Message | None:
        """Return the next record, or a message whose `error()` is set: the end of a partition (with `enable.partition.eof`), an
        unknown topic, an offset that is gone (with `auto.offset.reset=error`)."""
        ...

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        """Return up to `num_messages`, waiting until there are as many or `timeout` is over."""
        ...

    def assign(self, partitions: list[TopicPartition]) -> None: ...

    def unassign(self) -> None: ...

    def incremental_assign(self, partitions: list[TopicPartition]) -> None: ...

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None: ...

    def assignment(self) -> list[TopicPartition]: ...

    def seek(self, partition: TopicPartition) -> None:
        """Continue at this offset. Raises KafkaException for a partition that is not assigned."""
        ...

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Return no more messages of these partitions; their position stays."""
        ...

    def resume(self, partitions: list[TopicPartition]) -> None: ...

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]: ...

    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """Return the group's offsets and their metadata; OFFSET_INVALID where there is none."""
        ...

    @property
    def commit(self) -> Callable[..., Any]:
        """Call as `commit(message=…)` or `commit(offsets=…)`, with `asynchronous`: the offset after a message, or offsets with
        metadata. `on_commit` is called for an asynchronous commit. A synchronous one raises KafkaException if the group no
        longer knows the consumer, or if it is no member while the group has members."""
        ...

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        """Return the first kept offset and the one the next record gets. Raises KafkaException."""
        ...

    def offsets_for_times(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """Return per partition the first offset at or after its time in ms; OFFSET_END if all records are older."""
        ...

    def list_topics(self, topic: str = ..., timeout: float = -1) -> Any: ...

    def memberid(self) -> str | None: ...

    def close(self) -> None:
        """Revoke the partitions (`on_revoke` is called) and leave the group."""
        ...


class LogAdmin(Protocol):
    """Topics and groups. Each call returns a future per name, whose errors are KafkaExceptions."""

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any: ...

    def create_topics(self, new_topics: list[Any], **more: Any) -> dict[str, Future[Any]]: ...

    def create_partitions(self, new_partitions: list[Any], **more: Any) -> dict[str, Future[Any]]: ...

    def delete_topics(self, topics: list[str], **more: Any) -> dict[str, Future[Any]]: ...

    def delete_records(
        self, topic_partition_offsets: list[TopicPartition], **more: Any
    ) -> dict[TopicPartition, Future[Any]]: ...

    def describe_topics(self, topics: Any, **more: Any) -> dict[str, Future[Any]]: ...

    def list_offsets(
        self, topic_partition_offsets: dict[TopicPartition, Any], **more: Any
    ) -> dict[TopicPartition, Future[Any]]:
        """Return offset and timestamp by an OffsetSpec: earliest, latest, the newest time, or the first from a time on. -1
        where there is no such record."""
        ...

    def list_consumer_groups(self, **more: Any) -> Future[Any]:
        """Return all groups: `.valid` is a list with a `group_id` each."""
        ...

    def describe_consumer_groups(self, group_ids: list[str], **more: Any) -> dict[str, Future[Any]]:
        """Describe members and their partitions; an unknown group has no members."""
        ...

    def describe_configs(self, resources: list[Any], **more: Any) -> dict[Any, Future[Any]]: ...

    def incremental_alter_configs(self, resources: list[Any], **more: Any) -> dict[Any, Future[Any]]: ...
