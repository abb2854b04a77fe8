"""A consumer's membership in its group: join, revoke, take over, eviction. Served inside the consumer's `poll`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from confluent_kafka import KafkaError, TopicPartition

from streams.log.memory.group import Group, Member, PartitionKey
from streams.log.memory.shared import SharedLog
from streams.log.port import LogConsumer, Rebalance

_numbers = itertools.count(1)


class Membership:
    """`consumer` is the callbacks' first argument, and (un)assigns the partitions that they leave alone."""

    def __init__(self, log: SharedLog, group_id: str, client_id: str, consumer: LogConsumer) -> None:
        self._log = log
        self._group_id = group_id
        self._consumer = consumer
        self._callbacks: dict[str, Rebalance | None] = {}
        self._owned: set[PartitionKey] = set()  # as the consumer knows it; the group may have evicted it meanwhile
        self.member = Member(f"{client_id}-{next(_numbers)}", client_id)
        #: Subscribed topics; None outside the group.
        self.topics: frozenset[str] | None = None
        #: True once partitions were assigned or unassigned since the last callback began.
        self.handled = False

    def join(
        self, topics: Iterable[str], on_assign: Rebalance | None, on_revoke: Rebalance | None, on_lost: Rebalance | None
    ) -> None:
        self._callbacks = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost or on_revoke}
        with self._log.changed:
            self.topics = frozenset(topics)
            self._group.join(self.member, self.topics, self._log.partition_counts)
            self._log.changed.notify_all()

    def leave(self) -> None:
        """Leave the group, after `on_revoke`."""
        if self.topics is None:
            return
        self._rejoin_if_evicted()
        if self._owned:
            self._rebalance("revoke", set(self._owned))
        with self._log.changed:
            self.topics = None
            self._group.leave(self.member, self._log.partition_counts)
            self._log.changed.notify_all()

    def serve(self) -> None:
        """Revoke, then take over, as the group's target assignment asks of this member now."""
        if self.topics is None:
            return
        self._rejoin_if_evicted()
        with self._log.changed:
            revoked = self._group.to_revoke(self.member)
        if revoked:
            self._rebalance("revoke", revoked)
            with self._log.changed:
                self._group.revoke(self.member, revoked)
                self._log.changed.notify_all()
        with self._log.changed:
            taken = self._group.take(self.member)
        if taken:
            self._rebalance("assign", taken)

    def must_serve(self) -> bool:
        """True if `serve` would do anything."""
        if self.topics is None:
            return False
        group = self._group
        free = any(target == self.member and key not in group.owner for key, target in group.target.items())
        return free or self.member not in group.members or bool(group.to_revoke(self.member))

    def commit_error(self) -> KafkaError | None:
        """Return why this consumer may not commit now, None if it may."""
        members = self._group.members
        if self.topics is None:
            return KafkaError(KafkaError.UNKNOWN_MEMBER_ID) if members else None
        return None if self.member in members else KafkaError(KafkaError.STALE_MEMBER_EPOCH)

    def _rejoin_if_evicted(self) -> None:
        with self._log.changed:
            if self.topics is None or self.member in self._group.members:
                return
            lost = set(self._owned)
        if lost:
            self._rebalance("lost", lost)
        with self._log.changed:
            self._group.join(self.member, self.topics, self._log.partition_counts)

    def _rebalance(self, kind: str, keys: set[PartitionKey]) -> None:
        """Run the callback outside the lock, then (un)assign the partitions unless it did so itself."""
        partitions = [TopicPartition(*key) for key in sorted(keys)]
        self._owned = self._owned | keys if kind == "assign" else self._owned - keys
        self.handled = False
        callback = self._callbacks[kind]
        if callback is not None:
            callback(self._consumer, partitions)
        if self.handled:
            return
        if kind == "assign":
            self._consumer.incremental_assign(partitions)
        else:
            self._consumer.incremental_unassign(partitions)

    @property
    def _group(self) -> Group:
        return self._log.group(self._group_id)
