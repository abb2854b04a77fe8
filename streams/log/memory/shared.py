"""State that all clients of one memory log share: topics, groups, one lock, and a condition on which clients wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import KafkaError, KafkaException, Message

from streams.log.memory.group import Group, Member
from streams.log.memory.topic import MemoryTopic, Partition, PlainHeaders, message_of


class SharedLog:
    """Thread-safe. `waits=False` makes a poll that finds nothing return at once, whatever its timeout: for a flow that one
    thread drives, where no record can arrive during a wait.

    `now_ms` gives the timestamps of records that have none.
    """

    def __init__(self, *, waits: bool = True, now_ms: Callable[[], int] | None = None) -> None:
        self.waits = waits
        self.now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        #: Held for every look and every change; notified after each change.
        self.changed = threading.Condition(threading.RLock())
        self.topics: dict[str, MemoryTopic] = {}
        self.groups: dict[str, Group] = {}
        #: Number of records ever appended; a test that drives a flow compares it to see progress.
        self.appended = 0

    # ── topics ──

    def create_topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> MemoryTopic:
        """Raises KafkaException if the topic exists."""
        with self.changed:
            if name in self.topics:
                raise KafkaException(KafkaError(KafkaError.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists."))
            topic = self.topics[name] = MemoryTopic(name, partitions, config or {})
            self._topics_changed()
            return topic

    def add_partitions(self, name: str, count: int) -> None:
        """Raise the number of partitions to `count`. Raises KafkaException if there are as many already."""
        with self.changed:
            topic = self.topic(name)
            if count <= len(topic.partitions):
                raise KafkaException(KafkaError(KafkaError.INVALID_PARTITIONS, f"Topic has {len(topic.partitions)}."))
            topic.partitions += [Partition() for _ in range(count - len(topic.partitions))]
            self._topics_changed()

    def delete_topic(self, name: str) -> None:
        """Delete a topic, and every group's offsets on it. Raises KafkaException."""
        with self.changed:
            self.topic(name)
            del self.topics[name]
            for group in self.groups.values():
                group.committed = {key: offset for key, offset in group.committed.items() if key[0] != name}
            self._topics_changed()

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
        """Compact a topic now, as the broker's log cleaner does in the background."""
        with self.changed:
            for partition in self.topic(name).partitions:
                partition.compact()

    def _topics_changed(self) -> None:
        for group in self.groups.values():
            group.assign_targets(self.partition_counts)
        self.changed.notify_all()

    @property
    def partition_counts(self) -> dict[str, int]:
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
        """Append a record and return its offset. Raises KafkaException."""
        with self.changed:
            offset = self.partition(name, number).append(key, value, headers, timestamp_ms)
            self.appended += 1
            self.changed.notify_all()
            return offset

    def records(self, name: str) -> list[Message]:
        """Return every record that a topic holds now, partition by partition. Raises KafkaException."""
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
        """Remove a member, as the broker does after a session timeout; its partitions go to others.

        The member learns of it at its next poll (`on_lost`) and joins again.
        """
        with self.changed:
            self.group(group).leave(member, self.partition_counts)
            self.changed.notify_all()

    def lag(self, group: str, topics: Iterable[str]) -> int:
        """Return how many records of these topics the group has not committed."""
        with self.changed:
            committed = self.group(group).committed
            return sum(
                max(0, partition.end - (committed[name, n].offset if (name, n) in committed else partition.begin))
                for name in topics
                for n, partition in enumerate(self.topic(name).partitions)
            )
