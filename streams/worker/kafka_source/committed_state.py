"""Reads what the last owner of a partition committed: its position, what is done beyond it, and whether it stopped cleanly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, KafkaException, TopicPartition

from schemas.errors import SluiceError
from streams import logs
from streams.log import kafka
from streams.log.port import LogConsumer
from streams.settings import Settings
from streams.worker.kafka_source.offset_metadata import CommitMetadata, decode
from streams.worker.kafka_source.offsets import Snapshot

log = logs.get("worker")

ASK_S = 10.0


class StartState(NamedTuple):
    """Where to begin a partition. `before` is None if its beginning is unknown. Offsets below `recovery_until` may have been in
    flight at an unclean stop."""

    before: Snapshot | None
    recovery_until: int
    is_new: bool = False


class CommittedStateReader:
    """Reads the committed state of one topic's partitions. May be used within a rebalance callback."""

    def __init__(self, settings: Settings, topic: str, topic_id: str) -> None:
        self._settings = settings
        self.topic = topic
        self.topic_id = topic_id

    def read(
        self, consumer: LogConsumer, partitions: Sequence[TopicPartition], in_flight: int
    ) -> dict[int, StartState]:
        """Return the start states by partition. `in_flight`: jobs that one worker has in flight at most.

        Partitions newer than the group have no offset: they start at their beginning. Raises SluiceError when the group has no
        offsets at all.
        """
        committed = self._committed(consumer, [partition.partition for partition in partitions])
        states = {each.partition: _read_state(consumer, each, self.topic_id, in_flight) for each in committed}
        missing = [partition for partition in partitions if states[partition.partition].is_new]
        if missing:
            self._refuse_if_all_are_new(consumer)
        for partition in missing:
            log.info("new_partition", topic=self.topic, partition=partition.partition)
            partition.offset = OFFSET_BEGINNING
        return states

    def _refuse_if_all_are_new(self, consumer: LogConsumer) -> None:
        # Asked through another client: `list_topics` of the consumer within its own callback would make the client
        # library abort at the next callback of the same poll (confluent_kafka 2.16 forgets the state of the outer call).
        try:
            numbers = kafka.admin(self._settings).list_topics(self.topic, timeout=ASK_S).topics[self.topic].partitions
        except KafkaException as error:
            raise kafka.translate(error, f"counting the partitions of {self.topic}") from error
        if all(each.offset == OFFSET_INVALID for each in self._committed(consumer, numbers)):
            raise SluiceError(
                f"The worker's group has no offsets on {self.topic}, so it can't know where to begin.",
                next_step="Run `sluice topics apply`: it sets them at the beginning.",
            )

    def _committed(self, consumer: LogConsumer, numbers: Iterable[int]) -> list[TopicPartition]:
        try:
            return consumer.committed([TopicPartition(self.topic, number) for number in numbers], timeout=ASK_S)
        except KafkaException as error:
            raise kafka.translate(error, f"reading the group's offsets on {self.topic}") from error


def _read_state(consumer: LogConsumer, committed: TopicPartition, topic_id: str, in_flight: int) -> StartState:
    if committed.offset < 0:
        begin, _ = _watermarks(consumer, committed)
        return StartState(None if begin is None else Snapshot(begin, begin), 0, is_new=True)
    metadata = decode(committed.offset, committed.metadata, topic_id)
    if metadata is None:
        return StartState(Snapshot(committed.offset, committed.offset), 0)
    # Claims about offsets beyond the committed one are believed only as far as the log goes.
    claims = metadata.open or metadata.snapshot.end > committed.offset
    _, high = _watermarks(consumer, committed) if claims else (None, None)
    return start_state(metadata, high, in_flight)


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


def _watermarks(consumer: LogConsumer, place: TopicPartition) -> tuple[int | None, int | None]:
    """Return a partition's first offset and its end; None where Kafka does not answer."""
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(place.topic, place.partition), timeout=ASK_S)
    except KafkaException as error:
        log.warning("watermarks_unavailable", topic=place.topic, partition=place.partition, reason=str(error))
        return None, None
    return low, high
