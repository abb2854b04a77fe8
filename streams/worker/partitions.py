"""The partitions this worker owns: taken, given back, and their offsets committed.

`CommitPolicy` says what may be committed. It is a seam: a test makes the engine commit too early with it, and must go red.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from schemas.errors import SluiceError
from streams import logs
from streams.log import kafka
from streams.offsets import OffsetTracker
from streams.worker.ledger import Ledger, Owned

log = logs.get("worker")

#: Commits are coalesced: one request every so often, whatever the number of jobs.
COMMIT_EVERY_S = 0.1
SETTLE_S = 5.0
ASK_S = 10.0


class CommitPolicy:
    """An offset is committed once everything below it is done: its result, or its dead letter, is in the log."""

    def position(self, tracker: OffsetTracker) -> int | None:
        return tracker.position()


class Partitions:
    """Those of one lane. Used from the main thread only; Kafka calls the rebalance methods from within its poll."""

    def __init__(self, consumer: Consumer, ledger: Ledger, topic: str, lane: int, policy: CommitPolicy) -> None:
        self._consumer = consumer
        self._ledger = ledger
        self._topic = topic
        self._lane = lane
        self._policy = policy
        self._owned: dict[tuple[str, int], Owned] = {}
        self._next_commit = 0.0
        #: Told what was given back or lost, and the slots of its jobs that nobody here needs to run any more.
        self.on_dropped: Callable[[list[Owned], list[int]], None] = lambda given, slots: None
        self.commits = 0

    @property
    def by_key(self) -> Mapping[tuple[str, int], Owned]:
        """What is owned, by topic and partition."""
        return self._owned

    def __len__(self) -> int:
        return len(self._owned)

    def subscribe(self) -> None:
        self._consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def commit_if_due(self, now: float) -> None:
        if now >= self._next_commit:
            self._next_commit = now + COMMIT_EVERY_S
            self._commit(self._owned.values(), wait=False)

    def committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Kafka's answer to an asynchronous commit: what was not taken is sent again with the next."""
        for partition in partitions:
            if error is not None or partition.error is not None:
                log.debug("commit_failed", partition=partition.partition, reason=str(error or partition.error))
                owned = self._owned.get((partition.topic, partition.partition))
                if owned is not None:
                    owned.committed = None

    # ── rebalance ──

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._begin_where_new(consumer, partitions)
        for partition in partitions:
            self._owned[partition.topic, partition.partition] = Owned(partition.topic, partition.partition, self._lane)
        consumer.incremental_assign(partitions)
        log.info("assigned", partitions=_named(partitions), owned=len(self._owned))

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Publish what is done, commit it, and leave the rest to the next owner."""
        given = self._take_out(partitions)
        if not self._ledger.settle(given, SETTLE_S):
            log.warning("revoked_before_delivery", partitions=_named(partitions))
        self._commit(given, wait=True)
        self._forget(given, "revoked", partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """They are somebody else's already: nothing may be committed."""
        self._forget(self._take_out(partitions), "lost", partitions)

    def _take_out(self, partitions: list[TopicPartition]) -> list[Owned]:
        keys = [(partition.topic, partition.partition) for partition in partitions]
        return [self._owned.pop(key) for key in keys if key in self._owned]

    def _forget(self, given: list[Owned], how: str, partitions: list[TopicPartition]) -> None:
        slots = self._ledger.drop(given)
        self.on_dropped(given, slots)
        log.info(how, partitions=_named(partitions), dropped=len(slots), owned=len(self._owned))

    def _begin_where_new(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """A partition newer than the group has no offset: it is read from its beginning. A group without any is an error."""
        for topic in {partition.topic for partition in partitions}:
            known = self._committed_offsets(consumer, topic)
            missing = [p for p in partitions if p.topic == topic and known[p.partition] == OFFSET_INVALID]
            if missing and all(offset == OFFSET_INVALID for offset in known.values()):
                raise SluiceError(
                    f"The worker's group has no offsets on {topic}, so it can't know where to begin.",
                    next_step="Run `sluice topics apply`: it sets them at the beginning.",
                )
            for partition in missing:
                log.info("new_partition", topic=topic, partition=partition.partition)
                partition.offset = OFFSET_BEGINNING

    def _committed_offsets(self, consumer: Consumer, topic: str) -> dict[int, int]:
        try:
            found = consumer.list_topics(topic, timeout=ASK_S).topics[topic].partitions
            asked = consumer.committed([TopicPartition(topic, number) for number in found], timeout=ASK_S)
        except KafkaException as error:
            raise kafka.translate(error, f"reading the group's offsets on {topic}") from error
        return {partition.partition: partition.offset for partition in asked}

    # ── commits ──

    def _commit(self, owned: Iterable[Owned], *, wait: bool) -> None:
        moved = []
        for one, position in self._ledger.positions(owned, self._policy.position):
            if position is not None and position != one.committed:
                one.committed = position
                moved.append(TopicPartition(one.topic, one.partition, position))
        if moved:
            self.commits += 1
            self._send(moved, wait)

    def _send(self, moved: list[TopicPartition], wait: bool) -> None:
        try:
            self._consumer.commit(offsets=moved, asynchronous=not wait)  # type: ignore[call-overload]
        except KafkaException as error:
            self.committed(error.args[0], moved)


def _named(partitions: list[Any]) -> str:
    return " ".join(f"{p.topic}-{p.partition}" for p in sorted(partitions, key=lambda p: (p.topic, p.partition)))
