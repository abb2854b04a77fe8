"""Reads what the last owner of a partition committed: its position, what is done beyond it, and whether it stopped cleanly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from confluent_kafka import OFFSET_INVALID, KafkaException, TopicCollection, TopicPartition

from streams import logs
from streams.log import kafka
from streams.log.port import LogAdmin, LogConsumer
from streams.settings import Settings
from streams.worker.kafka_source.offset_metadata import CommitMetadata, decode, topic_of
from streams.worker.kafka_source.offsets import Snapshot
from streams.worker.protocol import TopicReplaced

log = logs.get("worker")

ASK_S = 10.0


class StartState(NamedTuple):
    """Where to begin a partition. Offsets below `recovery_until` may have been in flight at an unclean stop. `fault`: why it
    can't be begun now, instead of the others."""

    before: Snapshot
    recovery_until: int = 0
    is_new: bool = False  # it begins where the log begins
    fault: str | None = None


class CommittedStateReader:
    """Reads the committed state of one topic's partitions. May be used within a rebalance callback."""

    def __init__(self, settings: Settings, topic: str, topic_id: str) -> None:
        self._settings = settings
        self.topic = topic
        self.topic_id = topic_id
        self._refused: set[int] = set()  # partitions without an offset that are not begun by themselves

    def read(
        self, consumer: LogConsumer, partitions: Sequence[TopicPartition], in_flight: int, timeout_s: float = ASK_S
    ) -> dict[int, StartState]:
        """Return the start states by partition. `in_flight`: jobs that one worker has in flight at most.

        A fault of one partition, also one that only a person can mend, is in its state and stops no other. Raises
        TopicReplaced.
        """
        numbers = [partition.partition for partition in partitions]
        try:
            self.check_topic_id()
            committed = self._committed(consumer, numbers, timeout_s)
        except KafkaException as error:
            reason = kafka.translate(error, f"reading the group's offsets on {self.topic}").message
            return {number: _faulty(reason) for number in numbers}
        return {each.partition: self._read_state(consumer, each, in_flight, timeout_s) for each in committed}

    def _read_state(
        self, consumer: LogConsumer, committed: TopicPartition, in_flight: int, timeout_s: float
    ) -> StartState:
        of_topic = "" if committed.offset < 0 else topic_of(committed.metadata)
        if committed.offset < 0 or of_topic not in ("", self.topic_id):
            return self._at_the_beginning(consumer, committed, timeout_s)
        metadata = decode(committed.offset, committed.metadata, self.topic_id)
        if metadata is None:
            return StartState(Snapshot(committed.offset, committed.offset))
        # Claims about offsets beyond the committed one are believed only as far as the log goes.
        claims = metadata.open or metadata.snapshot.end > committed.offset
        _, high = log_bounds(consumer, committed, timeout_s) if claims else (None, None)
        return start_state(metadata, high, in_flight)

    def _at_the_beginning(self, consumer: LogConsumer, committed: TopicPartition, timeout_s: float) -> StartState:
        """Begin a partition without an offset, or with the offset of an earlier topic of this name.

        Where nothing has left the log, its beginning is complete. Otherwise a missing offset is right only on a partition that
        is newer than the group.
        """
        begin, _ = log_bounds(consumer, committed, timeout_s)
        if begin is None:
            return _faulty(f"Kafka did not say where {self.topic}, partition {committed.partition}, begins.")
        try:
            if begin > 0 and committed.offset < 0 and not self._has_any_offset(consumer, timeout_s):
                self._refused.add(committed.partition)
        except KafkaException as error:
            return _faulty(kafka.translate(error, f"looking at {self.topic}").message)
        if begin > 0 and committed.partition in self._refused:
            return _faulty(
                f"The worker's group has no offset on {self.topic}, partition {committed.partition}, and the log no longer has "
                "its beginning, so it is not known which requests were run. Stop the group's workers, run `sluice topics "
                "apply`, which sets the offset at the beginning, and start them: that repeats jobs and loses none."
            )
        log.info("new_partition", topic=self.topic, partition=committed.partition, begin=begin)
        return StartState(Snapshot(begin, begin), is_new=True)

    @cached_property
    def _admin(self) -> LogAdmin:
        # Asked through another client: `list_topics` of the consumer within its own callback would make the client
        # library abort at the next callback of the same poll (confluent_kafka 2.16 forgets the state of the outer call).
        return kafka.admin(self._settings)

    def check_topic_id(self) -> None:
        """Raise TopicReplaced if the topic was made again, KafkaException if Kafka does not answer.

        The group assigns the partitions of a topic that was made again like any others, and its new records would be taken for
        the old ones that are done.
        """
        answers = self._admin.describe_topics(TopicCollection([self.topic]), request_timeout=ASK_S)
        found = str(answers[self.topic].result(ASK_S + 5.0).topic_id)
        if found != self.topic_id:
            raise TopicReplaced(f"{self.topic} has the id {found}, it was {self.topic_id}")

    def _has_any_offset(self, consumer: LogConsumer, timeout_s: float) -> bool:
        found = self._admin.list_topics(self.topic, timeout=timeout_s).topics[self.topic]
        return any(each.offset != OFFSET_INVALID for each in self._committed(consumer, found.partitions, timeout_s))

    def _committed(self, consumer: LogConsumer, numbers: Iterable[int], timeout_s: float) -> list[TopicPartition]:
        return consumer.committed([TopicPartition(self.topic, number) for number in numbers], timeout=timeout_s)


def _faulty(reason: str) -> StartState:
    return StartState(Snapshot(0, 0), fault=reason)


def start_state(metadata: CommitMetadata, high: int | None, in_flight: int) -> StartState:
    """Turn committed metadata into a start state. `high` is the end of the log (None: unknown).

    If the log now ends before offsets that were handed out, records were lost: the new records at those offsets have never been
    processed. After an unclean stop, up to `in_flight` jobs beyond the last commit may have been in flight, as far as the log
    goes.
    """
    before = metadata.for_next_owner()
    if high is not None and high < before.end:
        log.warning("log_truncated", position=before.position, handed_out=before.end, log_ends=high)
        before = Snapshot(before.position, before.position)
    if metadata.open:
        possible = before.end + in_flight
        return StartState(before, possible if high is None else min(high, possible))
    return StartState(before, before.end if any(span.crashes for span in before.spans) else 0)


def log_bounds(
    consumer: LogConsumer, place: TopicPartition, timeout_s: float = ASK_S
) -> tuple[int, int] | tuple[None, None]:
    """Return a partition's first offset and its end; None where Kafka does not answer."""
    try:
        return consumer.get_watermark_offsets(TopicPartition(place.topic, place.partition), timeout=timeout_s)
    except KafkaException as error:
        log.warning("watermarks_unavailable", topic=place.topic, partition=place.partition, reason=str(error))
        return None, None
