"""A pass over a part of a topic: what was read, what was found, and whether it is complete."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from confluent_kafka import KafkaError, Message, TopicPartition

from streams.admin.log_range import LogRange
from streams.admin.record_filter import RecordMatcher
from streams.admin.records import LogRecord
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer

#: Messages of one poll: enough that Python's cost of a poll does not count.
BATCH = 4_000
_POLL_S = 0.2
#: Errors of an offset that the log does not have any more.
_GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)


@dataclass(slots=True)
class Scan:
    """The state of a pass, for a progress bar and for the end.

    `read`: offsets passed, of `total`. `partial`: why not everything was read, in words; None if it was. `max_records` and
    `timeout_s`: limits; None: none.
    """

    total: int
    max_records: int | None = None
    timeout_s: float | None = None
    read: int = 0
    matched: int = 0
    partial: str | None = None
    timed_out: bool = False
    begun: float = field(default_factory=time.monotonic)
    last_offset: dict[int, int] = field(default_factory=dict)  #: By partition, of the last record that was read.

    @property
    def share(self) -> float:
        return min(1.0, self.read / self.total) if self.total else 1.0

    @property
    def seconds(self) -> float:
        return max(1e-6, time.monotonic() - self.begun)

    @property
    def rate(self) -> float:
        """Records per second."""
        return self.read / self.seconds

    @property
    def complete(self) -> bool:
        return self.partial is None

    def stop_at_limit(self) -> bool:
        """True once a limit is reached."""
        if self.max_records is not None and self.matched >= self.max_records:
            self.partial = f"--max {self.max_records} was reached after {self.read:,} of {self.total:,} records"
        elif self.timeout_s is not None and time.monotonic() - self.begun > self.timeout_s:
            self.partial = f"--timeout {self.timeout_s:g} s was over after {self.read:,} of {self.total:,} records"
            self.timed_out = True
        else:
            return False
        return True


class Pass:
    """Reads a range once with a consumer outside any group. `matcher` selects and decodes."""

    def __init__(self, consumer: LogConsumer, chosen: LogRange, matcher: RecordMatcher, scan: Scan) -> None:
        self._consumer = consumer
        self._range = chosen
        self._matcher = matcher
        self.scan = scan
        self._unread = dict(chosen.parts)
        self._positions = {number: begin for number, (begin, _) in chosen.parts.items()}

    def records(self, on_batch: Callable[[Scan], None] = lambda _: None) -> Iterator[LogRecord]:
        """Yield the selected records, in the order of each partition. `on_batch` is called after each batch."""
        topic, scan = self._range.topic, self.scan
        scan.partial = self._range.gone
        self._consumer.assign([TopicPartition(topic, number, begin) for number, begin in self._positions.items()])
        while self._unread:
            for message in poll_batch(self._consumer, BATCH, _POLL_S):
                if (record := self._taken(message)) is not None:
                    scan.matched += 1
                    yield record
                    if self._unread and scan.max_records is not None and scan.stop_at_limit():
                        return
            on_batch(scan)
            if self._unread and scan.stop_at_limit():
                return
        self._consumer.unassign()

    def _taken(self, message: Message) -> LogRecord | None:
        number = int(message.partition() or 0)
        if (error := message.error()) is not None:
            self._handle(number, error)
            return None
        if number not in self._unread:  # fetched before its partition was paused
            return None
        offset, (_, end) = int(message.offset() or 0), self._unread[number]
        self._move(number, min(offset + 1, end))
        if offset + 1 >= end:
            self._done(number)
        if offset >= end:  # the range ends with records that are gone: a transaction's marker, or compacted ones
            return None
        self.scan.last_offset[number] = offset
        return self._matcher.match(message)

    def _handle(self, number: int, error: KafkaError) -> None:
        if number not in self._unread:
            return
        if error.code() == KafkaError._PARTITION_EOF:
            self._done(number)
        elif error.code() in _GONE:
            self._skip_deleted(number)
        else:
            raise kafka.translate(error, f"reading {self._range.topic}")

    def _skip_deleted(self, number: int) -> None:
        """Go on where the log begins now: retention has overtaken the scan."""
        topic, position = self._range.topic, self._positions[number]
        low, _ = self._consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
        self.scan.partial = f"retention: offsets {position} to {low - 1} of {topic}[{number}] left the log meanwhile"
        if low >= self._unread[number][1] or low <= position:
            self._done(number)
        else:
            self._move(number, low)
            self._consumer.seek(TopicPartition(topic, number, low))

    def _done(self, number: int) -> None:
        self._move(number, self._unread.pop(number)[1])
        if self._unread:
            self._consumer.pause([TopicPartition(self._range.topic, number)])

    def _move(self, number: int, to: int) -> None:
        self.scan.read += max(0, to - self._positions[number])
        self._positions[number] = max(to, self._positions[number])


def newest(records: Iterator[LogRecord], count: int) -> list[LogRecord]:
    """Return the newest `count` records, oldest first."""
    return sorted(heapq.nlargest(count, records, key=age), key=age) if count else [*records][:0]


def age(record: LogRecord) -> tuple[datetime, int, int]:
    return (record.at or datetime.min.replace(tzinfo=UTC), record.partition, record.offset)


def follow(
    consumer: LogConsumer, chosen: LogRange, matcher: RecordMatcher, stop: threading.Event, scan: Scan | None = None
) -> Iterator[LogRecord]:
    """Yield records from the ends of a range on, until `stop` is set or a limit of `scan` is reached."""
    consumer.assign([TopicPartition(chosen.topic, number, end) for number, end in chosen.ends.items()])
    while not stop.is_set() and not (scan is not None and scan.stop_at_limit()):
        for message in poll_batch(consumer, BATCH, _POLL_S):
            if (error := message.error()) is not None:
                if error.code() in _GONE:  # retention has overtaken the reader: go on where the log begins now
                    place = TopicPartition(chosen.topic, int(message.partition() or 0))
                    place.offset, _ = consumer.get_watermark_offsets(place, timeout=10)
                    consumer.seek(place)
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise kafka.translate(error, f"reading {chosen.topic}")
            elif (record := matcher.match(message)) is not None:
                if scan is not None:
                    scan.matched += 1
                yield record
                if scan is not None and scan.stop_at_limit():
                    return
