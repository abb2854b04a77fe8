"""One consumer as a member of its group: joining, giving up, taking, being thrown out. Served inside the consumer's `poll`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, TopicPartition

from streams.log.memory.group import Group, Member, Place
from streams.log.memory.log import MemoryLog
from streams.log.port import Rebalance

if TYPE_CHECKING:
    from streams.log.memory.consumer import MemoryConsumer

_numbers = itertools.count(1)


class Membership:
    """`consumer` is what callbacks are given, and what assigns where they do not."""

    def __init__(self, log: MemoryLog, group_id: str, client_id: str, consumer: MemoryConsumer) -> None:
        self._log = log
        self._group_id = group_id
        self._consumer = consumer
        self._callbacks: dict[str, Rebalance | None] = {}
        self._owned: set[Place] = set()  # what the consumer believes to own
        self.member = Member(f"{client_id}-{next(_numbers)}", client_id)
        #: What is subscribed to; None outside the group.
        self.topics: frozenset[str] | None = None
        #: Whether somebody has assigned or unassigned since the last callback began.
        self.handled = False

    def join(
        self, topics: Iterable[str], on_assign: Rebalance | None, on_revoke: Rebalance | None, on_lost: Rebalance | None
    ) -> None:
        self._callbacks = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost or on_revoke}
        with self._log.changed:
            self.topics = frozenset(topics)
            self._group.join(self.member, self.topics, self._log.sizes)
            self._log.changed.notify_all()

    def leave(self) -> None:
        """After `on_revoke`."""
        if self.topics is None:
            return
        self._notice_loss()
        if self._owned:
            self._rebalance("revoke", set(self._owned))
        with self._log.changed:
            self.topics = None
            self._group.leave(self.member, self._log.sizes)
            self._log.changed.notify_all()

    def serve(self) -> None:
        """Give up, then take: what the group wants of this member now."""
        if self.topics is None:
            return
        self._notice_loss()
        with self._log.changed:
            leaving = self._group.to_give_up(self.member)
        if leaving:
            self._rebalance("revoke", leaving)
            with self._log.changed:
                self._group.give_up(self.member, leaving)
                self._log.changed.notify_all()
        with self._log.changed:
            coming = self._group.take(self.member)
        if coming:
            self._rebalance("assign", coming)

    def has_news(self) -> bool:
        """Whether `serve` would do anything."""
        if self.topics is None:
            return False
        group = self._group
        wanted = any(to == self.member and place not in group.owner for place, to in group.target.items())
        return wanted or self.member not in group.members or bool(group.to_give_up(self.member))

    def refusal(self) -> KafkaError | None:
        """Why this consumer may not commit now; None if it may."""
        members = self._group.members
        if self.topics is None:
            return KafkaError(KafkaError.UNKNOWN_MEMBER_ID) if members else None
        return None if self.member in members else KafkaError(KafkaError.STALE_MEMBER_EPOCH)

    def _notice_loss(self) -> None:
        """The group threw this member out: what it had is lost, and it joins anew."""
        with self._log.changed:
            if self.topics is None or self.member in self._group.members:
                return
            lost = set(self._owned)
        if lost:
            self._rebalance("lost", lost)
        with self._log.changed:
            self._group.join(self.member, self.topics, self._log.sizes)

    def _rebalance(self, what: str, places: set[Place]) -> None:
        """Call back outside the lock; do what the callback left undone."""
        partitions = [TopicPartition(*place) for place in sorted(places)]
        self._owned = self._owned | places if what == "assign" else self._owned - places
        self.handled = False
        callback = self._callbacks[what]
        if callback is not None:
            callback(self._consumer, partitions)
        if self.handled:
            return
        if what == "assign":
            self._consumer.incremental_assign(partitions)
        else:
            self._consumer.incremental_unassign(partitions)

    @property
    def _group(self) -> Group:
        return self._log.group(self._group_id)
