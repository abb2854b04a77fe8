"""The partitions this worker owns on one lane: assignment, revocation, and commits of their offsets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from streams import logs
from streams.log.port import LogConsumer
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.kafka_source.assignment import Assignment
from streams.worker.kafka_source.committed_state import ASK_S, CommittedStateReader, StartState
from streams.worker.kafka_source.offset_metadata import SOFT_LIMIT, encode
from streams.worker.kafka_source.offsets import Snapshot
from streams.worker.kafka_source.quarantine import Quarantine
from streams.worker.kafka_source.stalls import StalledPartitions

log = logs.get("worker")

#: Commits are coalesced: at most one request in this time, whatever the number of jobs.
COMMIT_EVERY_S = 0.1
PUBLISH_BEFORE_REVOKE_S = 5.0
#: A partition that can't be begun is tried again this often, and each try waits this long for Kafka.
BEGIN_EVERY_S = 5.0
BEGIN_WITHIN_S = 2.0
#: How long a stopping worker waits for the group's coordinator.
CLOSE_WITHIN_S = 1.0
#: A partition that is not fetched because of its metadata's size is fetched again below this size.
RESUME_BELOW = SOFT_LIMIT * 3 // 4


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
        #: Partitions that are ours and can't be begun yet, each with the reason. Other partitions do not wait for them.
        self.withheld: dict[tuple[str, int], str] = {}
        self._next_begin = 0.0
        self.stalled = StalledPartitions(consumer, limit)
        #: Requests that left the log before they were run, by partition: a sentence for the status.
        self.lost: dict[str, str] = {}
        self._next_commit = 0.0
        self._closing = self._commits_fail = False
        self._changes = -1  # InFlightJobs.changes at the last commit
        self.commits = 0

    @property
    def by_key(self) -> Mapping[tuple[str, int], Assignment]:
        """Assignments by topic and partition."""
        return self._assignments

    def __len__(self) -> int:
        return len(self._assignments) + len(self.withheld)

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
        failed = [place for place in partitions if error is not None or place.error is not None]
        for place in failed:
            if (assignment := self._assignments.get((place.topic, place.partition))) is not None:
                assignment.last_sent = None
                self._changes = -1
        if failed and not self._commits_fail:  # the first of a row
            log.warning("commit_failed", partitions=_names(failed), reason=str(error or failed[0].error))
        self._commits_fail = bool(failed) if partitions else self._commits_fail

    def fetched(self) -> list[TopicPartition]:
        """Return the partitions to fetch: all but those whose metadata is full, and those that are stalled."""
        return [
            TopicPartition(*key)
            for key, assignment in self._assignments.items()
            if key not in self._metadata_full and assignment not in self.stalled
        ]

    def close(self) -> None:
        """Leave the group: publish what is answered, commit, and mark the partitions as cleanly released.

        Nothing is committed if the coordinator does not answer: a commit that waits has no time limit. The next owner then runs
        again what the last commit calls unfinished.
        """
        self._closing = True
        if self._assignments:
            try:
                self._consumer.committed([TopicPartition(*next(iter(self._assignments)))], timeout=CLOSE_WITHIN_S)
            except KafkaException as error:
                log.warning("stopped_without_commit", reason=str(error))
                self._lost(self._consumer, [TopicPartition(*key) for key in self._assignments])
        self._consumer.close()

    # ── rebalance ──

    def _assigned(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        if self._closing:  # revoked at once; the group is not asked for offsets any more
            return
        states = self._committed_state.read(consumer, partitions, self._limit)
        added = []
        for partition in partitions:
            state = states[partition.partition]
            if state.fault is None:
                added.append(self._add(partition, state))
                if state.is_new:
                    partition.offset = state.before.position
            else:
                self._withhold(partition, state.fault)
                partition.offset = OFFSET_BEGINNING  # else the client would look for the group's offset, in vain
        consumer.incremental_assign(partitions)
        if withheld := [each for each in partitions if (each.topic, each.partition) in self.withheld]:
            consumer.pause(withheld)
        log.info("assigned", partitions=_names(partitions), owned=len(self))
        self._commit(added)  # marks them as owned, so that an unclean stop of this worker shows

    def _add(self, partition: TopicPartition, state: StartState) -> Assignment:
        key = (partition.topic, partition.partition)
        assignment = Assignment(*key, self._lane, state.before, state.recovery_until, self._commit_before_dispatch)
        self._assignments[key] = assignment
        self._quarantine.watch(assignment)
        return assignment

    def _withhold(self, partition: TopicPartition, reason: str) -> None:
        key = (partition.topic, partition.partition)
        if self.withheld.get(key) != reason:
            log.error("partition_withheld", topic=key[0], partition=key[1], reason=reason)
        self.withheld[key] = reason

    def begin_withheld(self, now: float) -> None:
        """Begin the partitions that could not be begun before, now and then."""
        if not self.withheld or now < self._next_begin:
            return
        self._next_begin = now + BEGIN_EVERY_S
        partitions = [TopicPartition(*key) for key in self.withheld]
        states = self._committed_state.read(self._consumer, partitions, self._limit, BEGIN_WITHIN_S)
        added = []
        for partition in partitions:
            state = states[partition.partition]
            if state.fault is not None:
                self._withhold(partition, state.fault)
                continue
            del self.withheld[partition.topic, partition.partition]
            added.append(self._add(partition, state))
            self._fetch_from(partition, state.before.position)
            self._consumer.resume([partition])
            log.info("partition_begun", topic=partition.topic, partition=partition.partition)
        self._commit(added)

    def find_offset(self, place: TopicPartition) -> None:
        """Continue a partition whose next offset the log does not have: at the log's beginning, in either case.

        Offsets below it were deleted before they were run; the timekeeper ends their runs. If the log ends before the offset,
        it was cut: its records may be newer than the cut, so all are run again; the sink knows which runs have ended.
        Raises TopicReplaced.
        """
        assignment = self._assignments.get((place.topic, place.partition))
        wanted = None if assignment is None else assignment.tracker.next_fetch
        if assignment is None or wanted is None:
            return
        try:
            self._committed_state.check_topic_id()
            low, high = self._consumer.get_watermark_offsets(place, timeout=ASK_S)
        except KafkaException as error:
            log.warning("watermarks_unavailable", topic=place.topic, partition=place.partition, reason=str(error))
            self._fetch_from(place, wanted)  # reports the same again if nothing has changed
            return
        if wanted < low:
            self._note_lost(place, f"offsets {wanted} to {low - 1} left the log before they were run")
            with self._in_flight.lock:
                assignment.tracker.skip_to(low)
        elif wanted > high:
            self._note_lost(place, f"the log ends at {high}, offset {wanted} was next: it was cut and is run again")
            self._add(place, StartState(Snapshot(low, low)))  # jobs of the old assignment that are in flight go on
        self._fetch_from(place, wanted if low <= wanted <= high else low)
        self._changes = -1

    def _note_lost(self, place: TopicPartition, reason: str) -> None:
        log.error("requests_lost", topic=place.topic, partition=place.partition, reason=reason)
        self.lost[f"{place.topic}-{place.partition}"] = reason

    def _fetch_from(self, place: TopicPartition, offset: int) -> None:
        """Assign the partition once more: `seek` is refused where the last fetch had failed."""
        self._consumer.incremental_unassign([TopicPartition(place.topic, place.partition)])
        self._consumer.incremental_assign([TopicPartition(place.topic, place.partition, offset)])

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
            self.withheld.pop(key, None)
        return [self._assignments.pop(key) for key in keys if key in self._assignments]

    def _disown(self, assignments: list[Assignment], event: str, partitions: list[TopicPartition]) -> None:
        self._quarantine.forget(assignments)
        disowned = self._in_flight.disown(assignments)
        self._on_revoked(assignments, disowned)
        log.info(event, partitions=_names(partitions), disowned=len(disowned), owned=len(self))

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
