"""Reads a memory log, as a member of a group or by assignment.

Nothing happens behind the caller's back: rebalances and answers to commits are served inside `poll` and `consume`, as with the
real client, and there is no thread.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from confluent_kafka import OFFSET_END, OFFSET_INVALID, KafkaError, KafkaException, Message, TopicPartition

from streams.log.memory.group import Committed, Member, Place
from streams.log.memory.log import MemoryLog
from streams.log.memory.reading import Reading
from streams.log.port import OnCommit, Rebalance

_numbers = itertools.count(1)


class MemoryConsumer:
    """See `streams.log.port.LogConsumer`."""

    def __init__(self, log: MemoryLog, config: Mapping[str, Any]) -> None:
        self._log = log
        self._group_id = str(config["group.id"])
        self._on_commit: OnCommit | None = config.get("on_commit")
        client = str(config.get("client.id", "memory"))
        self._member = Member(f"{client}-{next(_numbers)}", client)
        self._reading = Reading(
            log, str(config.get("auto.offset.reset", "latest")), bool(config.get("enable.partition.eof")), self._begin
        )
        self._topics: frozenset[str] | None = None  # what is subscribed to
        self._callbacks: dict[str, Rebalance | None] = {}
        self._owned: set[Place] = set()  # what this client believes to own
        self._answers: deque[Callable[[], None]] = deque()  # of commits
        self._handled = False
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
        self._callbacks = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost or on_revoke}
        with self._log.changed:
            self._topics = frozenset(topics)
            self._group.join(self._member, topics, self._log.sizes)
            self._log.changed.notify_all()

    def unsubscribe(self) -> None:
        self._check_open()
        self._leave()

    def memberid(self) -> str | None:
        return self._member.member_id if self._topics is not None else None

    def close(self) -> None:
        if self._closed:
            return
        self._leave()
        self._serve_answers()
        self._reading.fetches.clear()
        self._closed = True

    def die(self) -> None:
        """As a process that is killed: nothing is given back, and the group finds out by itself."""
        self._closed = True
        self._log.evict(self._group_id, self._member)

    def _leave(self) -> None:
        if self._topics is None:
            return
        self._notice_loss()
        if self._owned:
            self._rebalance("revoke", set(self._owned))
        with self._log.changed:
            self._topics = None
            self._group.leave(self._member, self._log.sizes)
            self._log.changed.notify_all()

    def _serve_rebalances(self) -> None:
        """Give up, then take: what the group wants of this member now. A round without changes costs two set lookups."""
        if self._topics is None:
            return
        self._notice_loss()
        with self._log.changed:
            leaving = self._group.to_give_up(self._member)
        if leaving:
            self._rebalance("revoke", leaving)
            with self._log.changed:
                self._group.give_up(self._member, leaving)
                self._log.changed.notify_all()
        with self._log.changed:
            coming = self._group.take(self._member)
        if coming:
            self._rebalance("assign", coming)

    def _notice_loss(self) -> None:
        """The group threw this member out: what it had is lost, and it joins anew."""
        with self._log.changed:
            if self._topics is None or self._member in self._group.members:
                return
            lost = set(self._owned)
        if lost:
            self._rebalance("lost", lost)
        with self._log.changed:
            self._group.join(self._member, self._topics, self._log.sizes)

    def _rebalance(self, what: str, places: set[Place]) -> None:
        """Call back outside the lock; do what the callback left undone."""
        partitions = [TopicPartition(*place) for place in sorted(places)]
        self._owned = self._owned | places if what == "assign" else self._owned - places
        self._handled = False
        callback = self._callbacks[what]
        if callback is not None:
            callback(self, partitions)
        if not self._handled:
            self.incremental_assign(partitions) if what == "assign" else self.incremental_unassign(partitions)

    # ── assignment ──

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._check_open()
        with self._log.changed:
            self._handled = True
            self._reading.fetches.clear()
            self._reading.add(partitions)

    def unassign(self) -> None:
        self.assign([])

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self._check_open()
        with self._log.changed:
            self._handled = True
            self._reading.add(partitions)

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        with self._log.changed:
            self._handled = True
            self._reading.remove([(given.topic, given.partition) for given in partitions])

    def assignment(self) -> list[TopicPartition]:
        with self._log.changed:
            return [TopicPartition(*place) for place in sorted(self._reading.fetches)]

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
            found = [(given, self._reading.fetches.get((given.topic, given.partition))) for given in partitions]
            return [
                TopicPartition(
                    given.topic,
                    given.partition,
                    OFFSET_INVALID if fetch is None or not fetch.read or fetch.position is None else fetch.position,
                )
                for given, fetch in found
            ]

    # ── reading ──

    def poll(self, timeout: float = -1) -> Message | None:
        found = self.consume(1, timeout)
        return found[0] if found else None

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        self._check_open()
        until = None if timeout < 0 else time.monotonic() + timeout
        found: list[Message] = []
        while True:
            self._serve_rebalances()
            self._serve_answers()
            with self._log.changed:
                while len(found) < num_messages and (message := self._reading.next()) is not None:
                    found.append(message)
                left = None if until is None else until - time.monotonic()
                if len(found) >= num_messages or (left is not None and left <= 0) or not self._log.waits:
                    return found
                if not self._something_to_serve():
                    self._log.changed.wait(left)

    def _something_to_serve(self) -> bool:
        if self._answers:
            return True
        if self._topics is None:
            return False
        group = self._group
        wanted = any(to == self._member and place not in group.owner for place, to in group.target.items())
        return wanted or self._member not in group.members or bool(group.to_give_up(self._member))

    # ── offsets ──

    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        self._check_open()
        with self._log.changed:
            return [self._committed(given) for given in partitions]

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
                self._answers.append(partial(self._on_commit, error, offsets))
            return None
        if error is not None:
            raise KafkaException(error)
        return offsets

    def _store(self, offsets: list[TopicPartition]) -> KafkaError | None:
        with self._log.changed:
            group = self._group
            if self._topics is None and group.members:
                return KafkaError(KafkaError.UNKNOWN_MEMBER_ID)
            if self._topics is not None and self._member not in group.members:
                return KafkaError(KafkaError.STALE_MEMBER_EPOCH)
            for given in offsets:
                group.committed[given.topic, given.partition] = Committed(given.offset, given.metadata)
            return None

    def _committed(self, given: TopicPartition) -> TopicPartition:
        found = self._group.committed.get((given.topic, given.partition))
        if found is None:
            return TopicPartition(given.topic, given.partition, OFFSET_INVALID)
        if found.metadata is None:
            return TopicPartition(given.topic, given.partition, found.offset)
        return TopicPartition(given.topic, given.partition, found.offset, found.metadata)

    def _begin(self, place: Place) -> int | None:
        found = self._group.committed.get(place)
        return None if found is None else found.offset

    def _serve_answers(self) -> None:
        while self._answers:
            self._answers.popleft()()

    # ── questions ──

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int] | None:
        with self._log.changed:
            found = self._log.partition(partition.topic, partition.partition)
            return found.begin, found.end

    def offsets_for_times(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        with self._log.changed:
            times = [
                (given, self._log.partition(given.topic, given.partition).since(given.offset)) for given in partitions
            ]
            return [TopicPartition(p.topic, p.partition, OFFSET_END if at is None else at) for p, at in times]

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        return self._log.admin().list_topics(topic, timeout)

    @property
    def _group(self) -> Any:
        return self._log.group(self._group_id)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("Consumer closed")
