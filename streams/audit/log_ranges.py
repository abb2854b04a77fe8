"""Reads ranges of the log by assignment, outside of any group, and finds where a range begins and ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from schemas.errors import Unreachable
from streams.log import kafka
from streams.log.not_ready import TIMEOUT_S, retry_until_ready
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer
from streams.log.watermarks import watermarks
from streams.settings import Settings

#: A topic and a partition.
Part = tuple[str, int]
#: First offset, and the one after the last.
Span = tuple[int, int]

_BATCH = 2_000
#: Seconds without any record or end of a partition after which the log counts as unreachable.
SILENCE_S = 60.0
_TURN_S = 0.5


class LogRanges:
    """For one thread. `on_wait` is called at least every half second while it reads."""

    def __init__(self, settings: Settings, stop: threading.Event, on_wait: Callable[[], None] = lambda: None) -> None:
        self._consumer: LogConsumer = kafka.reader(settings, **{"enable.partition.eof": True, "fetch.wait.max.ms": 50})
        self._stop = stop
        self._on_wait = on_wait

    def close(self) -> None:
        self._consumer.close()

    def kept(self, topics: Iterable[str]) -> dict[Part, Span]:
        """Return what the log keeps now of these topics. Raises NotFound, Unreachable."""
        return {(topic, number): span for topic in topics for number, span in watermarks(self._consumer, topic).items()}

    def from_time(self, kept: Mapping[Part, Span], at: datetime | None) -> dict[Part, int]:
        """Return the first offset of each partition at or after a time; its beginning without a time. Raises Unreachable."""
        if at is None or not kept:
            return {part: low for part, (low, _) in kept.items()}
        millis = max(0, int(at.timestamp() * 1000))
        wanted = [TopicPartition(topic, number, millis) for topic, number in kept]
        try:
            found = retry_until_ready(partial(self._consumer.offsets_for_times, wanted, timeout=TIMEOUT_S))
        except KafkaException as error:
            raise kafka.translate(error, "finding the offsets of a time") from error
        return {
            (each.topic, each.partition): (
                each.offset if each.offset >= 0 else kept[each.topic, each.partition][1]
            )
            for each in found
        }  # fmt: skip

    def kept_since(self, kept: Mapping[Part, Span]) -> int:
        """Return the time in ms from which on nothing has left these partitions; 0 if nothing ever has. Raises Unreachable."""
        times = [0]
        shortened = {part: span for part, span in kept.items() if 0 < span[0] < span[1]}
        self.read(shortened, lambda message: times.append(int(message.timestamp()[1])), first_only=True)
        return max(times)

    def read(
        self,
        ranges: Mapping[Part, Span],
        take: Callable[[Message], None],
        on_read: Callable[[int], None] = lambda _: None,
        *,
        first_only: bool = False,
    ) -> dict[Part, int]:
        """Pass the records of these ranges to `take`; return the next offset of each. Ends early if it is stopped.
        `first_only`: of each range only its first record.

        Offsets without a record (compacted, deleted, markers) are passed over. Raises Unreachable.
        """
        reached = {part: start for part, (start, _) in ranges.items()}
        left = {part for part, (start, stop) in ranges.items() if start < stop}
        self._consumer.assign([TopicPartition(*part, ranges[part][0]) for part in left])
        silent_s = 0.0
        try:
            while left and not self._stop.is_set():
                messages = poll_batch(self._consumer, _BATCH, _TURN_S)
                self._on_wait()
                silent_s = 0.0 if messages else silent_s + _TURN_S
                if silent_s > SILENCE_S:
                    raise Unreachable("Kafka sends no more records.", next_step="Run `sluice doctor`, then try again.")
                before = sum(reached.values())
                for message in messages:
                    _take(message, ranges, reached, left, take)
                    if first_only and message.error() is None:
                        left.discard((message.topic() or "", message.partition() or 0))
                on_read(sum(reached.values()) - before)
        finally:
            self._consumer.unassign()
        return reached


def _take(
    message: Message,
    ranges: Mapping[Part, Span],
    reached: dict[Part, int],
    left: set[Part],
    take: Callable[[Message], None],
) -> None:
    part, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
    if part not in left:
        return
    stop = ranges[part][1]
    if (error := message.error()) is not None:
        if error.code() == KafkaError._PARTITION_EOF:
            reached[part] = stop
            left.discard(part)
            return
        translated = kafka.translate(error, f"reading {part[0]}")
        if not isinstance(translated, Unreachable):
            raise translated
        return  # the client tries again
    if offset < stop:
        take(message)
    reached[part] = min(offset + 1, stop)
    if offset + 1 >= stop:
        left.discard(part)
