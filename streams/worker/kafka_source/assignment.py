"""The partitions this worker owns on one lane: assignment, revocation, and commits of their offsets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams import logs
from streams.log.port import LogConsumer
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob, JobOrigin
from streams.worker.kafka_source.committed_state import CommittedStateReader
from streams.worker.kafka_source.offset_metadata import SOFT_LIMIT, encode
from streams.worker.kafka_source.offsets import OffsetTracker, Snapshot
from streams.worker.kafka_source.quarantine import Quarantine

log = logs.get("worker")

#: Commits are coalesced: at most one request in this time, whatever the number of jobs.
COMMIT_EVERY_S = 0.1
PUBLISH_BEFORE_REVOKE_S = 5.0
#: A partition that is not fetched because of its metadata's size is fetched again below this size.
RESUME_BELOW = SOFT_LIMIT * 3 // 4


class Assignment(JobOrigin):
    """A partition from assignment to revocation. A partition that is revoked and assigned again gets a new Assignment."""

    __slots__ = ("commit_before_dispatch", "last_sent", "recovery_until", "tracker")

    def __init__(
        self,
        topic: str,
        partition: int,
        lane: int,
        before: Snapshot | None = None,
        recovery_until: int = 0,
        commit_before_dispatch: Callable[[Sequence[Assignment]], bool] = lambda assignments: True,
    ) -> None:
        super().__init__(topic, partition, lane)
        self.tracker = OffsetTracker(before)
        #: While the position is below, jobs are committed as in flight before the child gets them (`quarantine.py`).
        self.recovery_until = recovery_until
        #: Commits these assignments of the same consumer and waits; returns whether Kafka took it.
        self.commit_before_dispatch = commit_before_dispatch
        self.last_sent: tuple[int, str] | None = None  # position and metadata of the last commit, None if it failed

    @property
    def recovers(self) -> bool:
        """True while jobs may come that were in flight when the last owner stopped uncleanly."""
        return (self.tracker.position() or 0) < self.recovery_until

    def admit(self, job: InFlightJob) -> bool:
        execution = self.tracker.handed_out(job.offset)
        if execution > 1:
            job.resume(execution, execution - 1)
        return execution > 0

    def not_begun(self, job: InFlightJob) -> None:
        self.tracker.hold(job.offset)

    def begun(self, job: InFlightJob) -> None:
        self.tracker.begin(job.offset)

    def crashes_changed(self, job: InFlightJob) -> None:
        self.tracker.set_crashes(job.offset, job.crashes)

    def released(self, job: InFlightJob) -> None:
        self.tracker.hold(job.offset)  # its offset stays open: the partition's next owner runs it

    def finished(self, job: InFlightJob) -> None:
        self.tracker.done(job.offset)


class AssignedPartitions:
    """All assignments of one lane. Used by the engine's thread; Kafka calls the rebalance methods during its poll.

    `limit`: jobs that one worker has in flight at most. `on_revoked` is called with what was revoked or lost, and its jobs.
    """

    def __init__(
        self,
        consumer: LogConsumer,
        in_flight: InFlightJobs,
        committed_state: CommittedStateReader,
        quarantine: Quarantine,
        lane: int,
        limit: int,
        on_revoked: Callable[[list[Assignment], list[InFlightJob]], None],
    ) -> None:
        self._consumer = consumer
        self._in_flight = in_flight
        self._committed_state = committed_state
        self._quarantine = quarantine
        self._lane = lane
        self._limit = limit
        self._on_revoked = on_revoked
        self._assignments: dict[tuple[str, int], Assignment] = {}
        self._metadata_full: dict[tuple[str, int], Assignment] = {}
        self._next_commit = 0.0
        self._closing = False
        self._changes = -1  # InFlightJobs.changes at the last commit
        self.commits = 0

    @property
    def by_key(self) -> Mapping[tuple[str, int], Assignment]:
        """Assignments by topic and partition."""
        return self._assignments

    def __len__(self) -> int:
        return len(self._assignments)

    def subscribe(self) -> None:
        topic = self._committed_state.topic
        self._consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def commit_if_due(self, now: float) -> None:
        """Commit what has changed: at once after a quiet time, else COMMIT_EVERY_S after the last commit."""
        changes = self._in_flight.changes
        if now >= self._next_commit and changes != self._changes:
            self._changes = changes
            if self._commit(self._assignments.values()):
                self._next_commit = now + COMMIT_EVERY_S

    def on_commit_answer(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Take Kafka's answer to an asynchronous commit. A failed commit is sent again with the next one."""
        for partition in partitions:
            if error is not None or partition.error is not None:
                log.debug("commit_failed", partition=partition.partition, reason=str(error or partition.error))
                assignment = self._assignments.get((partition.topic, partition.partition))
                if assignment is not None:
                    assignment.last_sent = None
                    self._changes = -1

    def fetched(self) -> list[TopicPartition]:
        """Return the partitions to fetch: all but the ones whose metadata is full."""
        return [TopicPartition(*key) for key in self._assignments if key not in self._metadata_full]

    def close(self) -> None:
        """Leave the group: publish what is answered, commit, and mark the partitions as cleanly released."""
        self._closing = True
        self._consumer.close()

    # ── rebalance ──

    def _assigned(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        if self._closing:  # revoked at once; the group is not asked for offsets any more
            return
        states = self._committed_state.read(consumer, partitions, self._limit)
        added = []
        for partition in partitions:
            topic, number = partition.topic, partition.partition
            before, recovery_until, _ = states[number]
            assignment = Assignment(topic, number, self._lane, before, recovery_until, self._commit_before_dispatch)
            self._assignments[topic, number] = assignment
            self._quarantine.watch(assignment)
            added.append(assignment)
        consumer.incremental_assign(partitions)
        log.info("assigned", partitions=_names(partitions), owned=len(self._assignments))
        self._commit(added)  # marks them as owned, so that an unclean stop of this worker shows

    def _revoked(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        """Publish what is answered, commit it, and leave the rest to the next owner."""
        revoked = self._take_out(partitions)
        if not self._in_flight.wait_until_published(revoked, PUBLISH_BEFORE_REVOKE_S):
            log.warning("revoked_before_delivery", partitions=_names(partitions))
        self._commit(revoked, wait=True, is_open=False)
        self._disown(revoked, "revoked", partitions)

    def _lost(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        """Another worker owns the partitions already: nothing may be committed."""
        self._disown(self._take_out(partitions), "lost", partitions)

    def _take_out(self, partitions: list[TopicPartition]) -> list[Assignment]:
        keys = [(partition.topic, partition.partition) for partition in partitions]
        for key in keys:
            self._metadata_full.pop(key, None)
        return [self._assignments.pop(key) for key in keys if key in self._assignments]

    def _disown(self, assignments: list[Assignment], event: str, partitions: list[TopicPartition]) -> None:
        self._quarantine.forget(assignments)
        disowned = self._in_flight.disown(assignments)
        self._on_revoked(assignments, disowned)
        log.info(event, partitions=_names(partitions), disowned=len(disowned), owned=len(self._assignments))

    # ── commits ──

    def _commit_before_dispatch(self, assignments: Sequence[Assignment]) -> bool:
        """Commit synchronously that jobs of these assignments are in flight. Return False if a commit failed.

        Assignments that were revoked meanwhile are left out.
        """
        current = [each for each in assignments if self._assignments.get((each.topic, each.partition)) is each]
        self._commit(current, wait=True)
        return all(assignment.last_sent is not None for assignment in current)

    def _commit(self, assignments: Iterable[Assignment], *, wait: bool = False, is_open: bool = True) -> bool:
        """Commit the assignments that have changed; return whether there were any."""
        changed = []
        for assignment, position, snapshot in self._positions(assignments):
            if position is None:
                continue
            fits = snapshot is not None and snapshot.position == position
            topic_id = self._committed_state.topic_id
            metadata = encode(snapshot, topic_id, is_open=is_open) if snapshot and fits else ""
            if (position, metadata) != assignment.last_sent:
                assignment.last_sent = (position, metadata)
                changed.append(TopicPartition(assignment.topic, assignment.partition, position, metadata=metadata))
                self._watch_size(assignment, len(metadata))
        if changed:
            self.commits += 1
            self._send(changed, wait)
        return bool(changed)

    def _positions(self, assignments: Iterable[Assignment]) -> list[tuple[Assignment, int | None, Snapshot | None]]:
        with self._in_flight.lock:
            return [(each, each.tracker.position(), each.tracker.snapshot()) for each in assignments]

    def _send(self, offsets: list[TopicPartition], wait: bool) -> None:
        try:
            answer = self._consumer.commit(offsets=offsets, asynchronous=not wait)
        except KafkaException as error:
            self.on_commit_answer(error.args[0], offsets)
        else:
            self.on_commit_answer(None, answer or [])

    def _watch_size(self, assignment: Assignment, size: int) -> None:
        """Stop fetching a partition with too many holes until jobs that hold it up are done.

        A pause throws away what was prefetched, which takes 0.7 s to fetch again; holes by the thousand are rare enough.
        """
        key = (assignment.topic, assignment.partition)
        if size > SOFT_LIMIT and key not in self._metadata_full and key in self._assignments:
            unfinished = assignment.tracker.outstanding
            log.warning("too_many_holes", topic=key[0], partition=key[1], unfinished=unfinished)
            self._metadata_full[key] = assignment
            self._consumer.pause([TopicPartition(*key)])
        elif size < RESUME_BELOW and key in self._metadata_full:
            del self._metadata_full[key]
            self._consumer.resume([TopicPartition(*key)])


def _names(partitions: list[Any]) -> str:
    return " ".join(f"{p.topic}-{p.partition}" for p in sorted(partitions, key=lambda p: (p.topic, p.partition)))
