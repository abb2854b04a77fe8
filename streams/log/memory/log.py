"""What all clients of one memory log share: its topics, its groups, one lock, and a condition on which they wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from confluent_kafka import KafkaError, KafkaException, Message

from streams.log.memory.group import Group, Member
from streams.log.memory.topic import MemoryTopic, Partition, PlainHeaders, message_of

if TYPE_CHECKING:
    from streams.log.memory.admin import MemoryAdmin
    from streams.log.memory.consumer import MemoryConsumer
    from streams.log.memory.producer import MemoryProducer

PREFIX = "memory:"


class MemoryLog:
    """Thread-safe. `waits=False` makes a poll that finds nothing return at once, whatever its timeout: for a flow that one
    thread drives, where nothing can come while it waits.

    `now_ms` gives the timestamps of records that have none.
    """

    _named: ClassVar[dict[str, MemoryLog]] = {}
    _naming: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, *, waits: bool = True, now_ms: Callable[[], int] | None = None) -> None:
        self.waits = waits
        self.now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        #: Held for every look and every change; notified after each change.
        self.changed = threading.Condition(threading.RLock())
        self.topics: dict[str, MemoryTopic] = {}
        self.groups: dict[str, Group] = {}
        #: Records ever appended: whoever drives a flow sees by it that something happened.
        self.appended = 0

    # ── by address ──

    @classmethod
    def at(cls, address: str) -> MemoryLog | None:
        """The log behind an address `memory:NAME`, made at its first use; None for any other address."""
        if not address.startswith(PREFIX):
            return None
        with cls._naming:
            return cls._named.setdefault(address.removeprefix(PREFIX), cls())

    @classmethod
    def name(cls, name: str, log: MemoryLog) -> None:
        """Let `memory:<name>` be this log."""
        with cls._naming:
            cls._named[name] = log

    @classmethod
    def forget(cls, name: str) -> None:
        with cls._naming:
            cls._named.pop(name, None)

    # ── clients ──

    def producer(self, config: Mapping[str, Any] | None = None) -> MemoryProducer:
        from streams.log.memory.producer import MemoryProducer

        return MemoryProducer(self, config or {})

    def consumer(self, config: Mapping[str, Any]) -> MemoryConsumer:
        from streams.log.memory.consumer import MemoryConsumer

        return MemoryConsumer(self, config)

    def admin(self) -> MemoryAdmin:
        from streams.log.memory.admin import MemoryAdmin

        return MemoryAdmin(self)

    # ── topics ──

    def create_topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> MemoryTopic:
        """Raises KafkaException when it is there already."""
        with self.changed:
            if name in self.topics:
                raise KafkaException(KafkaError(KafkaError.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists."))
            made = self.topics[name] = MemoryTopic(name, partitions, config or {})
            self.topics_changed()
            return made

    def add_partitions(self, name: str, count: int) -> None:
        """So that there are `count`. Raises KafkaException when there are as many already."""
        with self.changed:
            topic = self.topic(name)
            if count <= len(topic.partitions):
                raise KafkaException(KafkaError(KafkaError.INVALID_PARTITIONS, f"Topic has {len(topic.partitions)}."))
            topic.partitions += [Partition() for _ in range(count - len(topic.partitions))]
            self.topics_changed()

    def delete_topic(self, name: str) -> None:
        """Also what groups have committed on it. Raises KafkaException."""
        with self.changed:
            self.topic(name)
            del self.topics[name]
            for group in self.groups.values():
                group.committed = {place: one for place, one in group.committed.items() if place[0] != name}
            self.topics_changed()

    def topic(self, name: str) -> MemoryTopic:
        """Raises KafkaException."""
        topic = self.topics.get(name)
        if topic is None:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        return topic

    def partition(self, name: str, number: int) -> Partition:
        """Raises KafkaException."""
        partitions = self.topic(name).partitions
        if not 0 <= number < len(partitions):
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        return partitions[number]

    def compact(self, name: str) -> None:
        """What the broker's cleaner does at a time of its own."""
        with self.changed:
            for partition in self.topic(name).partitions:
                partition.compact()

    def topics_changed(self) -> None:
        for group in self.groups.values():
            group.share_out(self.sizes)
        self.changed.notify_all()

    @property
    def sizes(self) -> dict[str, int]:
        return {name: len(topic.partitions) for name, topic in self.topics.items()}

    # ── records ──

    def append(
        self,
        name: str,
        number: int,
        key: bytes | None,
        value: bytes | None,
        headers: PlainHeaders | None,
        timestamp_ms: int,
    ) -> int:
        """The offset it got. Raises KafkaException."""
        with self.changed:
            offset = self.partition(name, number).append(key, value, headers, timestamp_ms)
            self.appended += 1
            self.changed.notify_all()
            return offset

    def records(self, name: str) -> list[Message]:
        """Everything that a topic holds now, partition by partition. Raises KafkaException."""
        with self.changed:
            return [
                message_of(name, number, record)
                for number, partition in enumerate(self.topic(name).partitions)
                for record in partition.records
            ]

    # ── groups ──

    def group(self, name: str) -> Group:
        return self.groups.setdefault(name, Group())

    def evict(self, group: str, member: Member) -> None:
        """What the broker does to a member that was silent for too long: its partitions go to others. It learns of it at its
        next poll (`on_lost`) and joins anew."""
        with self.changed:
            self.group(group).leave(member, self.sizes)
            self.changed.notify_all()

    def lag(self, group: str, topics: Iterable[str]) -> int:
        """Records of these topics that the group has not committed."""
        with self.changed:
            committed = self.group(group).committed
            return sum(
                max(0, partition.end - (committed[name, n].offset if (name, n) in committed else partition.begin))
                for name in topics
                for n, partition in enumerate(self.topic(name).partitions)
            )
