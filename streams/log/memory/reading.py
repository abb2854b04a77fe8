"""What one consumer reads: its partitions, where it stands on each, and what comes next. Not thread-safe; the log locks."""

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

from streams.log.memory.group import Place
from streams.log.memory.log import MemoryLog
from streams.log.memory.topic import Partition, message_of


@dataclass(slots=True)
class Fetch:
    """`position` is the next offset; None until the first look, which asks the group where to begin."""

    position: int | None
    read: bool = False  # whether a record was handed out since
    paused: bool = False
    stopped: bool = False  # an error was told: nothing comes until somebody seeks
    ended_at: int | None = None  # the end that was told of


class Reading:
    """`reset`: earliest, latest or error, for a position that the log does not have. `committed` asks the group."""

    def __init__(self, log: MemoryLog, reset: str, tell_ends: bool, committed: Callable[[Place], int | None]) -> None:
        self._log = log
        self._reset = reset
        self._tell_ends = tell_ends
        self._committed = committed
        self.fetches: dict[Place, Fetch] = {}

    def add(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin at the given offsets, where they are; else where the group stands."""
        for given in partitions:
            place = (given.topic, given.partition)
            self.fetches[place] = Fetch(self._begin(place, given.offset))

    def remove(self, places: Iterable[Place]) -> None:
        for place in places:
            self.fetches.pop(place, None)

    def seek(self, given: TopicPartition) -> None:
        """Raises KafkaException for a partition that is not assigned."""
        place = (given.topic, given.partition)
        old = self.fetches.get(place)
        if old is None:
            raise KafkaException(KafkaError(KafkaError._STATE, "Local: Erroneous state"))
        self.fetches[place] = Fetch(self._begin(place, given.offset), paused=old.paused)

    def pause(self, partitions: Iterable[TopicPartition], paused: bool) -> None:
        for given in partitions:
            fetch = self.fetches.get((given.topic, given.partition))
            if fetch is not None:
                fetch.paused = paused

    def next(self) -> Message | None:
        """From the partition that waited longest."""
        for place, fetch in list(self.fetches.items()):
            if fetch.paused or fetch.stopped:
                continue
            message = self._next_of(place, fetch)
            if message is not None:
                self.fetches[place] = self.fetches.pop(place)  # behind the others
                return message
        return None

    def _next_of(self, place: Place, fetch: Fetch) -> Message | None:
        try:
            partition = self._log.partition(*place)
        except KafkaException as error:
            fetch.stopped = True
            unknown = KafkaError.UNKNOWN_TOPIC_OR_PART if place[0] not in self._log.topics else error.args[0].code()
            return _told(place, unknown)
        if fetch.position is None or not partition.begin <= fetch.position <= partition.end:
            fetch.position = self._lost(partition)
            if fetch.position is None:
                fetch.stopped = True
                return _told(place, KafkaError._AUTO_OFFSET_RESET)
        record = partition.at(fetch.position)
        if record is not None:
            fetch.position, fetch.read = record.offset + 1, True
            return message_of(*place, record)
        fetch.position = max(fetch.position, partition.end)
        return self._end_of(place, fetch)

    def _end_of(self, place: Place, fetch: Fetch) -> Message | None:
        if not self._tell_ends or fetch.ended_at == fetch.position or fetch.position is None:
            return None
        fetch.ended_at = fetch.position
        return _told(place, KafkaError._PARTITION_EOF, fetch.position)

    def _lost(self, partition: Partition) -> int | None:
        if self._reset in ("earliest", "smallest", "beginning"):
            return partition.begin
        return partition.end if self._reset in ("latest", "largest", "end") else None

    def _begin(self, place: Place, offset: int) -> int | None:
        if offset in (OFFSET_INVALID, OFFSET_STORED):
            return self._committed(place)
        if offset not in (OFFSET_BEGINNING, OFFSET_END):
            return offset
        try:
            partition = self._log.partition(*place)
        except KafkaException:
            return 0
        return partition.begin if offset == OFFSET_BEGINNING else partition.end


def _told(place: Place, code: int, offset: int = OFFSET_INVALID) -> Message:
    return Message(topic=place[0], partition=place[1], offset=offset, error=KafkaError(code))
