"""The log as a port: the part of confluent_kafka's clients that the engine uses, so that something else can stand behind it.

Two implementations keep these promises, and one suite (tests/contract/test_log.py) runs on both: the clients of confluent_kafka
on a real broker, and `streams.log.memory` within this process. The names, the argument order and the errors are
confluent_kafka's own, so that nothing lies between the engine and the real clients.

Records, places and errors are confluent_kafka's `Message`, `TopicPartition`, `KafkaError` and `KafkaException` in both. A
client belongs to one thread, but for a producer, which may be shared. Rebalance and commit callbacks run inside the consumer's
`poll`, `consume` and `close`; delivery reports inside the producer's `poll` and `flush`. Timeouts are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from confluent_kafka import KafkaError, Message, TopicPartition

#: Told once for each record: its error or None, and the record with its partition and offset.
DeliveryReport = Callable[[KafkaError | None, Message], None]
#: The consumer, and the partitions that come or go. What it does not (un)assign itself is (un)assigned after it.
Rebalance = Callable[[Any, list[TopicPartition]], None]
#: Told of each asynchronous commit: its error or None, and the offsets.
OnCommit = Callable[[KafkaError | None, list[TopicPartition]], None]
Headers = Sequence[tuple[str, bytes | str | None]] | Mapping[str, bytes | str | None]


class LogProducer(Protocol):
    """Writes records. Each ends in one delivery report; records of one partition lie in the order of their `produce` calls."""

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
        """Queue a record. Without a partition the key decides (murmur2, as Java's), without a key chance does.

        Raises BufferError when the queue is full, KafkaException when the client refuses it (larger than `message.max.bytes`).
        """
        ...

    def poll(self, timeout: float = -1) -> int:
        """Hand out delivery reports; waits for the first at most so long."""
        ...

    def flush(self, timeout: float = -1) -> int:
        """Hand out reports until none is outstanding; how many still are."""
        ...

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """Give up what is not confirmed."""
        ...

    def __len__(self) -> int:
        """Records without a report."""
        ...


class LogConsumer(Protocol):
    """Reads records: as a member of its group (`subscribe`), or by itself what it assigns."""

    def subscribe(
        self,
        topics: list[str],
        on_assign: Rebalance | None = None,
        on_revoke: Rebalance | None = None,
        on_lost: Rebalance | None = None,
    ) -> None:
        """Join the group. A partition moves only after its owner's `on_revoke` has returned; `on_lost` says that the group
        has given it away already: nothing may be committed."""
        ...

    def unsubscribe(self) -> None: ...

    def poll(self, timeout: float = -1) -> Message | None:
        """The next record, or a message whose `error()` is set: the end of a partition (with `enable.partition.eof`), an
        unknown topic, an offset that is gone (with `auto.offset.reset=error`)."""
        ...

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        """As many as are there, waiting until there are so many or the time is over."""
        ...

    def assign(self, partitions: list[TopicPartition]) -> None: ...

    def unassign(self) -> None: ...

    def incremental_assign(self, partitions: list[TopicPartition]) -> None: ...

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None: ...

    def assignment(self) -> list[TopicPartition]: ...

    def seek(self, partition: TopicPartition) -> None:
        """Read on from that offset. Raises KafkaException for a partition that is not assigned."""
        ...

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Hand out no more of these; their position stays."""
        ...

    def resume(self, partitions: list[TopicPartition]) -> None: ...

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]: ...

    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """The group's offsets and their metadata; OFFSET_INVALID where there is none."""
        ...

    @property
    def commit(self) -> Callable[..., Any]:
        """`commit(message=…)` or `commit(offsets=…)`, with `asynchronous`: the offset after a message, or offsets with their
        metadata. An asynchronous commit is answered by `on_commit`. Raises KafkaException: at once for a synchronous commit
        of a consumer that the group no longer knows, and for a stranger's while the group has members."""
        ...

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        """The first offset that is kept, and the one that the next record gets. Raises KafkaException."""
        ...

    def offsets_for_times(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """Per partition the first offset at or after the given milliseconds; OFFSET_END where all are older."""
        ...

    def list_topics(self, topic: str = ..., timeout: float = -1) -> Any: ...

    def memberid(self) -> str | None: ...

    def close(self) -> None:
        """Give the partitions back (`on_revoke` is called) and leave."""
        ...


class LogAdmin(Protocol):
    """Topics and groups. Each call answers with a future per name, whose errors are KafkaExceptions."""

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any: ...

    def create_topics(self, new_topics: list[Any], **more: Any) -> dict[str, Future[Any]]: ...

    def create_partitions(self, new_partitions: list[Any], **more: Any) -> dict[str, Future[Any]]: ...

    def delete_topics(self, topics: list[str], **more: Any) -> dict[str, Future[Any]]: ...

    def delete_records(
        self, topic_partition_offsets: list[TopicPartition], **more: Any
    ) -> dict[TopicPartition, Future[Any]]: ...

    def describe_topics(self, topics: Any, **more: Any) -> dict[str, Future[Any]]: ...

    def describe_consumer_groups(self, group_ids: list[str], **more: Any) -> dict[str, Future[Any]]:
        """Members and what they own; none for a group that nobody ever heard of."""
        ...

    def describe_configs(self, resources: list[Any], **more: Any) -> dict[Any, Future[Any]]: ...

    def incremental_alter_configs(self, resources: list[Any], **more: Any) -> dict[Any, Future[Any]]: ...
