"""The partitions this worker owns: taken, given back, and their offsets committed.

`CommitPolicy` says what may be committed. It is a seam: a test makes the engine commit too early with it, and must go red.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams import logs
from streams.log.port import LogConsumer
from streams.worker.in_flight import Assignment, InFlightJobs
from streams.worker.kafka_source.committed_state import CommittedStateReader
from streams.worker.kafka_source.offset_metadata import SOFT_LIMIT, encode
from streams.worker.kafka_source.offsets import OffsetTracker
from streams.worker.kafka_source.quarantine import Quarantine

log = logs.get("worker")

#: Commits are coalesced: one request every so often, whatever the number of jobs.
COMMIT_EVERY_S = 0.1
SETTLE_S = 5.0
#: A partition that was not fetched because of its metadata's size is fetched again below this one.
RESUME_BELOW = SOFT_LIMIT * 3 // 4


class CommitPolicy:
    """An offset is committed once everything below it is done: its result, or its dead letter, is in the log."""

    def position(self, tracker: OffsetTracker) -> int | None:
        return tracker.position()


class AssignedPartitions:
    """Those of one lane. Used from the main thread only; Kafka calls the rebalance methods from within its poll."""

    def __init__(
        self,
        consumer: LogConsumer,
        ledger: InFlightJobs,
        takeover: CommittedStateReader,
        handover: Quarantine,
        lane: int,
        policy: CommitPolicy,
    ) -> None:
        self._consumer = consumer
        self._ledger = ledger
        self._takeover = takeover
        self._handover = handover
        self._lane = lane
        self._policy = policy
        self._owned: dict[tuple[str, int], Assignment] = {}
        self._full: dict[tuple[str, int], Assignment] = {}
        self._next_commit = 0.0
        self._closing = False
        self._changes = -1  # the ledger's, when it was last looked at
        #: Told what was given back or lost, and the slots of its jobs that nobody here needs to run any more.
        self.on_dropped: Callable[[list[Assignment], list[int]], None] = lambda given, slots: None
        self.commits = 0

    @property
    def by_key(self) -> Mapping[tuple[str, int], Assignment]:
        """What is owned, by topic and partition."""
        return self._owned

    def __len__(self) -> int:
        return len(self._owned)

    def subscribe(self) -> None:
        topic = self._takeover.topic
        self._consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def commit_if_due(self, now: float) -> None:
        """At once after a while of quiet, else with what else happens within COMMIT_EVERY_S."""
        changes = self._ledger.changes
        if now >= self._next_commit and changes != self._changes:
            self._changes = changes
            if self._commit(self._owned.values()):
                self._next_commit = now + COMMIT_EVERY_S

    def committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Kafka's answer to an asynchronous commit: what was not taken is sent again with the next."""
        for partition in partitions:
            if error is not None or partition.error is not None:
                log.debug("commit_failed", partition=partition.partition, reason=str(error or partition.error))
                owned = self._owned.get((partition.topic, partition.partition))
                if owned is not None:
                    owned.committed = None
                    self._changes = -1

    def fetched(self) -> list[TopicPartition]:
        """What may be fetched: all that is owned, but for partitions whose metadata is full."""
        return [TopicPartition(*key) for key in self._owned if key not in self._full]

    def close(self) -> None:
        """Give everything back: settled, committed, and marked as given back."""
        self._closing = True
        self._consumer.close()

    # ── rebalance ──

    def _assigned(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        if self._closing:  # given back at once; the group is no longer asked for offsets
            return
        left = self._takeover.read(consumer, partitions, self._ledger.capacity)
        taken = []
        for partition in partitions:
            mine = left[partition.partition]
            owned = Assignment(partition.topic, partition.partition, self._lane, mine.before)
            owned.careful_until, owned.commit_first = mine.careful_until, self._commit_first
            self._owned[partition.topic, partition.partition] = owned
            self._handover.watch(owned)
            taken.append(owned)
        consumer.incremental_assign(partitions)
        log.info("assigned", partitions=_named(partitions), owned=len(self._owned))
        self._commit(taken)  # says that they have an owner, whose end will be noticed

    def _revoked(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        """Publish what is done, commit it, and leave the rest to the next owner."""
        given = self._take_out(partitions)
        if not self._ledger.settle(given, SETTLE_S):
            log.warning("revoked_before_delivery", partitions=_named(partitions))
        self._commit(given, wait=True, is_open=False)
        self._forget(given, "revoked", partitions)

    def _lost(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        """They are somebody else's already: nothing may be committed."""
        self._forget(self._take_out(partitions), "lost", partitions)

    def _take_out(self, partitions: list[TopicPartition]) -> list[Assignment]:
        keys = [(partition.topic, partition.partition) for partition in partitions]
        for key in keys:
            self._full.pop(key, None)
        return [self._owned.pop(key) for key in keys if key in self._owned]

    def _forget(self, given: list[Assignment], how: str, partitions: list[TopicPartition]) -> None:
        self._handover.forget(given)
        slots = self._ledger.drop(given)
        self.on_dropped(given, slots)
        log.info(how, partitions=_named(partitions), dropped=len(slots), owned=len(self._owned))

    # ── commits ──

    def _commit_first(self, owned: Iterable[Assignment]) -> bool:
        """What was handed out of these is in flight from now on. False when Kafka did not take it, or they are gone."""
        still = [one for one in owned if self._owned.get((one.topic, one.partition)) is one]
        self._commit(still, wait=True)
        return all(one.committed is not None for one in still)

    def _commit(self, owned: Iterable[Assignment], *, wait: bool = False, is_open: bool = True) -> bool:
        """Commit those that have changed; whether there were any."""
        moved = []
        for one, position, snapshot in self._ledger.positions(owned, self._policy.position):
            if position is None:
                continue
            fits = snapshot is not None and snapshot.position == position
            said = encode(snapshot, self._takeover.topic_id, is_open=is_open) if snapshot and fits else ""
            if (position, said) != one.committed:
                one.committed = (position, said)
                moved.append(TopicPartition(one.topic, one.partition, position, metadata=said))
                self._watch_size(one, len(said))
        if moved:
            self.commits += 1
            self._send(moved, wait)
        return bool(moved)

    def _send(self, moved: list[TopicPartition], wait: bool) -> None:
        try:
            answer = self._consumer.commit(offsets=moved, asynchronous=not wait)
        except KafkaException as error:
            self.committed(error.args[0], moved)
        else:
            self.committed(None, answer or [])

    def _watch_size(self, one: Assignment, size: int) -> None:
        """A partition with too many holes is not fetched until jobs that hold it up are done.

        A pause throws away what was prefetched, 0.7 s of it; holes by the thousand are rare enough.
        """
        key = (one.topic, one.partition)
        if size > SOFT_LIMIT and key not in self._full and key in self._owned:
            log.warning("too_many_holes", topic=one.topic, partition=one.partition, unfinished=one.tracker.outstanding)
            self._full[key] = one
            self._consumer.pause([TopicPartition(*key)])
        elif size < RESUME_BELOW and key in self._full:
            del self._full[key]
            self._consumer.resume([TopicPartition(*key)])


def _named(partitions: list[Any]) -> str:
    return " ".join(f"{p.topic}-{p.partition}" for p in sorted(partitions, key=lambda p: (p.topic, p.partition)))
