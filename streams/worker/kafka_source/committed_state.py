"""What the last owner of a partition left: where it stood, what it had done beyond, and whether it gave the partition back."""

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
    """`before` is None where nobody can have worked. Up to `careful_until`, jobs may have been in flight at an unclean stop."""

    before: Snapshot | None
    careful_until: int
    is_new: bool = False


class CommittedStateReader:
    """Of one topic. May be used from within a rebalance callback."""

    def __init__(self, settings: Settings, topic: str, topic_id: str) -> None:
        self._settings = settings
        self.topic = topic
        self.topic_id = topic_id

    def read(
        self, consumer: LogConsumer, partitions: Sequence[TopicPartition], in_flight: int
    ) -> dict[int, StartState]:
        """By partition. `in_flight` is what one worker may hold at most.

        Partitions newer than the group have no offset: they are set to begin at their beginning. Raises SluiceError when a
        group has no offsets at all.
        """
        told = self._committed(consumer, [partition.partition for partition in partitions])
        found = {place.partition: _left(consumer, place, self.topic_id, in_flight) for place in told}
        missing = [partition for partition in partitions if found[partition.partition].is_new]
        if missing:
            self._refuse_where_all_are(consumer)
        for partition in missing:
            log.info("new_partition", topic=self.topic, partition=partition.partition)
            partition.offset = OFFSET_BEGINNING
        return found

    def _refuse_where_all_are(self, consumer: LogConsumer) -> None:
        # Asked through a client of its own: `list_topics` of the consumer within its own callback would make the client
        # library abort at the next callback of the same poll (confluent_kafka 2.16 forgets the state of the outer call).
        try:
            numbers = kafka.admin(self._settings).list_topics(self.topic, timeout=ASK_S).topics[self.topic].partitions
        except KafkaException as error:
            raise kafka.translate(error, f"counting the partitions of {self.topic}") from error
        if all(place.offset == OFFSET_INVALID for place in self._committed(consumer, numbers)):
            raise SluiceError(
                f"The worker's group has no offsets on {self.topic}, so it can't know where to begin.",
                next_step="Run `sluice topics apply`: it sets them at the beginning.",
            )

    def _committed(self, consumer: LogConsumer, numbers: Iterable[int]) -> list[TopicPartition]:
        try:
            return consumer.committed([TopicPartition(self.topic, number) for number in numbers], timeout=ASK_S)
        except KafkaException as error:
            raise kafka.translate(error, f"reading the group's offsets on {self.topic}") from error


def _left(consumer: LogConsumer, told: TopicPartition, topic_id: str, in_flight: int) -> StartState:
    if told.offset < 0:
        begin, _ = _ends(consumer, told)
        return StartState(None if begin is None else Snapshot(begin, begin), 0, is_new=True)
    word = decode(told.offset, told.metadata, topic_id)
    if word is None:
        return StartState(Snapshot(told.offset, told.offset), 0)
    # Whatever is said of offsets beyond the committed one is believed only as far as the log goes.
    claims = word.open or word.snapshot.end > told.offset
    _, high = _ends(consumer, told) if claims else (None, None)
    return start_state(word, high, in_flight)


def start_state(word: CommitMetadata, high: int | None, in_flight: int) -> StartState:
    """What the word means, `high` being where the log ends (None: unknown).

    A log that ends before what was handed out has lost records: those now in their places were done by nobody. After an
    unclean stop, the last commit may not have told of all that was in flight: of `in_flight` jobs at most, in the log by now.
    """
    before = word.taken_over()
    if high is not None and high < before.end:
        log.warning("log_truncated", position=before.position, handed_out=before.end, log_ends=high)
        before = Snapshot(before.position, before.position)
    if word.open:
        possible = before.end + in_flight
        return StartState(before, possible if high is None else min(high, possible))
    return StartState(before, before.end if any(run.crashes for run in before.runs) else 0)


def _ends(consumer: LogConsumer, place: TopicPartition) -> tuple[int | None, int | None]:
    """Where a partition begins and ends now; None when it can't be said."""
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(place.topic, place.partition), timeout=ASK_S)
    except KafkaException as error:
        log.warning("watermarks_unavailable", topic=place.topic, partition=place.partition, reason=str(error))
        return None, None
    return low, high
