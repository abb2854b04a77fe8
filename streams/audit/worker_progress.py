"""How far the workers have come: a request that is done by the group's commit has its result in the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing

from confluent_kafka import KafkaException, TopicPartition

from connectors.sink_store import LogPosition
from schemas.contract import contract, known_processors
from schemas.states import Custody
from streams.audit.log_ranges import Part
from streams.log import kafka
from streams.log.not_ready import TIMEOUT_S, retry_until_ready
from streams.log.port import LogConsumer
from streams.settings import Settings
from streams.worker.kafka_source.offset_metadata import decode


class WorkerProgress:
    """The committed offsets of the workers' groups, with what is done beyond them, as they were at one moment."""

    def __init__(self) -> None:
        self._committed: dict[tuple[bytes, int], int] = {}
        self._done: dict[tuple[bytes, int], tuple[int, list[tuple[int, int]]]] = {}

    def is_done(self, place: LogPosition) -> bool:
        """True if a worker has committed this request as done; so its result is in the log."""
        part = place.topic_id, place.partition
        if place.offset < self._committed.get(part, 0):
            return True
        end, unfinished = self._done.get(part, (0, []))
        return place.offset < end and not any(start <= place.offset < stop for start, stop in unfinished)

    def add(self, topic_id: bytes, printed_id: str, committed: TopicPartition) -> None:
        """Add a partition as its group committed it."""
        if committed.offset < 0:
            return
        part = topic_id, committed.partition
        self._committed[part] = committed.offset
        metadata = decode(committed.offset, committed.metadata, printed_id)
        if metadata is not None:
            spans = [(span.start, span.stop) for span in metadata.snapshot.spans]
            self._done[part] = metadata.snapshot.end, spans


def read_progress(
    settings: Settings, parts: Iterable[Part], ids: Mapping[str, bytes], printed: Mapping[str, str]
) -> WorkerProgress:
    """Read the workers' commits of these partitions of requests topics. Raises Unreachable."""
    progress, by_processor = WorkerProgress(), dict[str, list[TopicPartition]]()
    for topic, number in parts:
        processor = settings.topics.processor_of(topic) or ""
        if processor in known_processors() and settings.custody(contract(processor)) is Custody.OFFSET:
            by_processor.setdefault(processor, []).append(TopicPartition(topic, number))
    for processor, wanted in by_processor.items():
        group = f"{settings.topic_prefix}workers.{processor}"
        with closing(kafka.consumer(settings, group, **kafka.OUTSIDE)) as consumer:
            for committed in _committed(consumer, wanted, group):
                progress.add(ids[committed.topic], printed[committed.topic], committed)
    return progress


def _committed(consumer: LogConsumer, wanted: list[TopicPartition], group: str) -> list[TopicPartition]:
    try:
        return retry_until_ready(lambda: consumer.committed(wanted, timeout=TIMEOUT_S))
    except KafkaException as error:
        raise kafka.translate(error, f"reading the offsets of {group}") from error
