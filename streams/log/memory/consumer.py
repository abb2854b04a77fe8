"""Reads a memory log, as a member of a group or by assignment.

Rebalances and commit callbacks are served inside `poll` and `consume`, as with the real client; there is no thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from confluent_kafka import OFFSET_END, OFFSET_INVALID, KafkaError, KafkaException, Message, TopicPartition

from streams.log.memory.admin import MemoryAdmin
from streams.log.memory.group import Committed, Group, PartitionKey
from streams.log.memory.membership import Membership
from streams.log.memory.reading import Reading
from streams.log.memory.shared import SharedLog
from streams.log.port import OnCommit, Rebalance


class MemoryConsumer:
    """See `streams.log.port.LogConsumer`."""

    def __init__(self, log: SharedLog, config: Mapping[str, Any]) -> None:
        self._log = log
        self._group_id = str(config["group.id"])
        self._on_commit: OnCommit | None = config.get("on_commit")
        self._reading = Reading(
            log,
            str(config.get("auto.offset.reset", "latest")),
            bool(config.get("enable.partition.eof")),
            self._committed_offset,
        )
        client = str(config.get("client.id", "memory"))
        self._membership = Membership(log, self._group_id, client, self)
        self._commit_callbacks: deque[Callable[[], None]] = deque()
        self._closed = False

    # ── membership ──

    def subscribe(
        self,
        topics: list[str],
        on_assign: Rebalance | None = None,
        on_revoke: Rebalance | None = None,
        on_lost: Rebalance | None = None,
    ) -> None:
        self._check_open()
        self._membership.join(topics, on_assign, on_revoke, on_lost)

    def unsubscribe(self) -> None:
        self._check_open()
        self._membership.leave()

    def memberid(self) -> str | None:
        return self._membership.member.member_id if self._membership.topics is not None else None

    def close(self) -> None:
        if self._closed:
            return
        self._membership.leave()
        self._serve_commit_callbacks()
        self._reading.fetches.clear()
        self._closed = True

    def die(self) -> None:
        """Act like a killed process: nothing is revoked; the group evicts the member."""
        self._closed = True
        self._log.evict(self._group_id, self._membership.member)

    # ── assignment ──

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._check_open()
        with self._log.changed:
            self._membership.handled = True
            self._reading.fetches.clear()
            self._reading.add(partitions)

    def unassign(self) -> None:
        self.assign([])

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self._check_open()
        with self._log.changed:
            self._membership.handled = True
            self._reading.add(partitions)

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        with self._log.changed:
            self._membership.handled = True
            self._reading.remove([(p.topic, p.partition) for p in partitions])

    def assignment(self) -> list[TopicPartition]:
        with self._log.changed:
            return [TopicPartition(*key) for key in sorted(self._reading.fetches)]

    def seek(self, partition: TopicPartition) -> None:
        self._check_open()
        with self._log.changed:
            self._reading.seek(partition)

    def pause(self, partitions: list[TopicPartition]) -> None:
        with self._log.changed:
            self._reading.pause(partitions, True)

    def resume(self, partitions: list[TopicPartition]) -> None:
        with self._log.changed:
            self._reading.pause(partitions, False)
            self._log.changed.notify_all()

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        with self._log.changed:
            return [TopicPartition(p.topic, p.partition, self._position(p)) for p in partitions]

    def _position(self, partition: TopicPartition) -> int:
        fetch = self._reading.fetches.get((partition.topic, partition.partition))
        return OFFSET_INVALID if fetch is None or not fetch.read or fetch.position is None else fetch.position

    # ── reading ──

    def poll(self, timeout: float = -1) -> Message | None:
        found = self.consume(1, timeout)
        return found[0] if found else None

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        self._check_open()
        until = None if timeout < 0 else time.monotonic() + timeout
        found: list[Message] = []
        while True:
            self._membership.serve()
            self._serve_commit_callbacks()
            with self._log.changed:
                while len(found) < num_messages and (message := self._reading.next()) is not None:
                    found.append(message)
                left = None if until is None else until - time.monotonic()
                if len(found) >= num_messages or (left is not None and left <= 0) or not self._log.waits:
                    return found
                if not self._commit_callbacks and not self._membership.must_serve():
                    self._log.changed.wait(left)

    # ── offsets ──

    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        self._check_open()
        with self._log.changed:
            return [self._committed(partition) for partition in partitions]

    def commit(
        self,
        message: Message | None = None,
        offsets: list[TopicPartition] | None = None,
        asynchronous: bool = True,
    ) -> list[TopicPartition] | None:
        self._check_open()
        if message is not None:
            offsets = [
                TopicPartition(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0) + 1)
            ]
        if not offsets:
            raise KafkaException(KafkaError(KafkaError._NO_OFFSET))
        error = self._store(offsets)
        if asynchronous:
            if self._on_commit is not None:
                self._commit_callbacks.append(partial(self._on_commit, error, offsets))
            return None
        if error is not None:
            raise KafkaException(error)
        return offsets

    def _store(self, offsets: list[TopicPartition]) -> KafkaError | None:
        with self._log.changed:
            error = self._membership.commit_error()
            if error is not None:
                return error
            for p in offsets:
                self._group.committed[p.topic, p.partition] = Committed(p.offset, p.metadata)
            return None

    def _committed(self, partition: TopicPartition) -> TopicPartition:
        topic, number = partition.topic, partition.partition
        found = self._group.committed.get((topic, number))
        if found is None:
            return TopicPartition(topic, number, OFFSET_INVALID)
        if found.metadata is None:
            return TopicPartition(topic, number, found.offset)
        return TopicPartition(topic, number, found.offset, found.metadata)

    def _committed_offset(self, key: PartitionKey) -> int | None:
        found = self._group.committed.get(key)
        return None if found is None else found.offset

    def _serve_commit_callbacks(self) -> None:
        while self._commit_callbacks:
            self._commit_callbacks.popleft()()

    # ── metadata ──

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        with self._log.changed:
            found = self._log.partition(partition.topic, partition.partition)
            return found.begin, found.end

    def offsets_for_times(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        with self._log.changed:
            found = [(p, self._log.partition(p.topic, p.partition).since(p.offset)) for p in partitions]
            return [TopicPartition(p.topic, p.partition, OFFSET_END if at is None else at) for p, at in found]

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        return MemoryAdmin(self._log).list_topics(topic, timeout)

    @property
    def _group(self) -> Group:
        return self._log.group(self._group_id)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("Consumer closed")
