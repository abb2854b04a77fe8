"""A consumer's partitions, its position on each, and its next message. Not thread-safe; the log locks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    OFFSET_STORED,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from streams.log.memory.group import PartitionKey
from streams.log.memory.shared import SharedLog
from streams.log.memory.topic import Partition, message_of


@dataclass(slots=True)
class Fetch:
    """`position` is the next offset; None until the first read, which starts from the group's committed offset."""

    position: int | None
    read: bool = False  # True once a record was handed out
    paused: bool = False
    stopped: bool = False  # after an error: no messages until a seek
    ended_at: int | None = None  # the end that was reported last


class Reading:
    """`reset`: earliest, latest or error, for a position that the log does not have. `report_ends`: report partition ends.

    `committed` returns the group's offset of a partition.
    """

    def __init__(
        self, log: SharedLog, reset: str, report_ends: bool, committed: Callable[[PartitionKey], int | None]
    ) -> None:
        self._log = log
        self._reset = reset
        self._report_ends = report_ends
        self._committed = committed
        self.fetches: dict[PartitionKey, Fetch] = {}

    def add(self, partitions: Iterable[TopicPartition]) -> None:
        """Start at the given offsets; without one, at the group's."""
        for partition in partitions:
            key = (partition.topic, partition.partition)
            self.fetches[key] = Fetch(self._start(key, partition.offset))

    def remove(self, keys: Iterable[PartitionKey]) -> None:
        for key in keys:
            self.fetches.pop(key, None)

    def seek(self, partition: TopicPartition) -> None:
        """Raises KafkaException for a partition that is not assigned."""
        key = (partition.topic, partition.partition)
        old = self.fetches.get(key)
        if old is None:
            raise KafkaException(KafkaError(KafkaError._STATE, "Local: Erroneous state"))
        self.fetches[key] = Fetch(self._start(key, partition.offset), paused=old.paused)

    def pause(self, partitions: Iterable[TopicPartition], paused: bool) -> None:
        for partition in partitions:
            fetch = self.fetches.get((partition.topic, partition.partition))
            if fetch is not None:
                fetch.paused = paused

    def next(self) -> Message | None:
        """Return the next message, from the partition that waited longest."""
        for key, fetch in list(self.fetches.items()):
            if fetch.paused or fetch.stopped:
                continue
            message = self._next_of(key, fetch)
            if message is not None:
                self.fetches[key] = self.fetches.pop(key)  # behind the others
                return message
        return None

    def _next_of(self, key: PartitionKey, fetch: Fetch) -> Message | None:
        try:
            partition = self._log.partition(*key)
        except KafkaException as error:
            fetch.stopped = True
            unknown = KafkaError.UNKNOWN_TOPIC_OR_PART if key[0] not in self._log.topics else error.args[0].code()
            return _error_message(key, unknown)
        if fetch.position is None or not partition.begin <= fetch.position <= partition.end:
            fetch.position = self._reset_offset(partition)
            if fetch.position is None:
                fetch.stopped = True
                return _error_message(key, KafkaError._AUTO_OFFSET_RESET)
        record = partition.at(fetch.position)
        if record is not None:
            fetch.position, fetch.read = record.offset + 1, True
            return message_of(*key, record)
        fetch.position = max(fetch.position, partition.end)
        return self._end_of(key, fetch)

    def _end_of(self, key: PartitionKey, fetch: Fetch) -> Message | None:
        if not self._report_ends or fetch.ended_at == fetch.position or fetch.position is None:
            return None
        fetch.ended_at = fetch.position
        return _error_message(key, KafkaError._PARTITION_EOF, fetch.position)

    def _reset_offset(self, partition: Partition) -> int | None:
        if self._reset in ("earliest", "smallest", "beginning"):
            return partition.begin
        return partition.end if self._reset in ("latest", "largest", "end") else None

    def _start(self, key: PartitionKey, offset: int) -> int | None:
        if offset in (OFFSET_INVALID, OFFSET_STORED):
            return self._committed(key)
        if offset not in (OFFSET_BEGINNING, OFFSET_END):
            return offset
        try:
            partition = self._log.partition(*key)
        except KafkaException:
            return 0
        return partition.begin if offset == OFFSET_BEGINNING else partition.end


def _error_message(key: PartitionKey, code: int, offset: int = OFFSET_INVALID) -> Message:
    return Message(topic=key[0], partition=key[1], offset=offset, error=KafkaError(code))
