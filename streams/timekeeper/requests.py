"""Reads requests from the log again by their coordinates, many at once.

Reads each partition once, by rising offset. Records between two wanted ones are skipped, or seeked over if they are many. One
read is bounded in time and in bytes, and a record or partition that can't be read keeps no other from being read.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from schemas.errors import Unreachable
from schemas.records import Coordinates
from streams import logs
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.settings import Settings
from streams.timekeeper.records_ahead import RecordsAhead, place_of, size_of

log = logs.get("timekeeper")

TIMEOUT_S = 10.0
#: Up to this many records between two wanted ones are read and skipped: a seek would drop prefetched data and be slower.
GAP = 500
_BATCH = 500
#: One read stops after so many bytes of requests. The others are read next time.
MAX_BYTES = 64 * 1024 * 1024
_GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
_NO_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)

TopicAndPartition = tuple[str, int]


class WantedOffsets:
    """The offsets still to be read in each partition, ascending. Pure."""

    def __init__(self, requests: Iterable[Coordinates]) -> None:
        self._left: dict[TopicAndPartition, deque[int]] = {}
        for request in sorted(requests, key=lambda r: (r.topic, r.partition, r.offset)):
            self._left.setdefault((request.topic, request.partition), deque()).append(request.offset)
        self._targets = {key: offsets[0] for key, offsets in self._left.items()}
        #: Places that can't be read now.
        self.failed: set[tuple[str, int, int]] = set()
        #: True once any partition has answered with a record, or with the news that one is gone.
        self.progressed = False

    def __bool__(self) -> bool:
        return bool(self._left)

    def starts(self) -> dict[TopicAndPartition, int]:
        """Return the next wanted offset of each partition."""
        return {key: offsets[0] for key, offsets in self._left.items()}

    def take(self, key: TopicAndPartition, offset: int) -> bool:
        """Mark the record at `offset` as read; True if it is wanted. Wanted offsets before it are gone from the log."""
        self.progressed = True
        offsets = self._left.get(key)
        if offsets is None:
            return False
        while offsets and offsets[0] < offset:
            offsets.popleft()
        taken = bool(offsets) and offsets[0] == offset
        if taken:
            offsets.popleft()
        self._drop_if_empty(key)
        return taken

    def seek_target(self, key: TopicAndPartition, offset: int) -> int | None:
        """Return where to seek after `offset` if the next wanted record is far, each target once; else None."""
        offsets = self._left.get(key)
        if not offsets or offsets[0] - offset <= GAP or self._targets[key] == offsets[0]:
            return None
        self._targets[key] = offsets[0]
        return offsets[0]

    def drop_below(self, key: TopicAndPartition, offset: int) -> None:
        """Drop offsets below `offset`, where the log begins."""
        self.progressed = True
        offsets = self._left.get(key, deque())
        while offsets and offsets[0] < offset:
            offsets.popleft()
        self._drop_if_empty(key)

    def drop_from(self, key: TopicAndPartition, offset: int) -> None:
        """Drop offsets from `offset` on, where the log ends."""
        self.progressed = True
        offsets = self._left.get(key, deque())
        while offsets and offsets[-1] >= offset:
            offsets.pop()
        self._drop_if_empty(key)

    def fail_first(self, key: TopicAndPartition) -> int | None:
        """Give up the next wanted offset, whose record is damaged; return it, None if none is wanted."""
        offsets = self._left.get(key)
        if not offsets:
            return None
        offset = offsets.popleft()
        self.failed.add((*key, offset))
        self._drop_if_empty(key)
        return offset

    def fail_all(self, key: TopicAndPartition) -> None:
        """Give up a partition."""
        while self.fail_first(key) is not None:
            pass

    def left(self) -> set[tuple[str, int, int]]:
        """Return the places that are still wanted."""
        return {(*key, offset) for key, offsets in self._left.items() for offset in offsets}

    def _drop_if_empty(self, key: TopicAndPartition) -> None:
        if not self._left.get(key, True):
            del self._left[key]


@dataclass(slots=True)
class ReadRequests:
    """The result of one read. `found`: the records, None where the log no longer has one. `unread`: coordinates that can't be
    read now, because the record is damaged or its partition does not answer. Coordinates in neither were left for the next
    read."""

    found: dict[Coordinates, Message | None] = field(default_factory=dict)
    unread: set[Coordinates] = field(default_factory=set)

    def get(self, request: Coordinates | None) -> Message | None:
        return None if request is None else self.found.get(request)

    def is_left(self, request: Coordinates | None) -> bool:
        """True if the request was not read because the others were large enough."""
        return request is not None and request not in self.found and request not in self.unread


class RequestReader:
    """Reads by assignment, outside any group. For one thread. `on_wait` is called at least once a second while it reads.

    `ahead_bytes`: how much it keeps of what it read between and behind wanted records, for the next read.
    """

    def __init__(
        self, settings: Settings, on_wait: Callable[[], None], *, timeout_s: float = TIMEOUT_S, ahead_bytes: int = 0
    ) -> None:
        self._on_wait = on_wait
        self._timeout_s = timeout_s
        self._ahead = RecordsAhead(ahead_bytes)
        self._consumer = kafka.reader(
            settings,
            **{
                "auto.offset.reset": "error",  # a deleted record must not be replaced by the next one
                "enable.partition.eof": True,
                # Often one record is wanted, not the megabytes after it.
                "fetch.message.max.bytes": 262_144,
                "queued.min.messages": _BATCH,
                "fetch.wait.max.ms": 10,
            },
        )

    def read(self, requests: Iterable[Coordinates]) -> ReadRequests:
        """Read the records at these coordinates. Raises Unreachable if Kafka does not answer at all."""
        by_offset = {(request.topic, request.partition, request.offset): request for request in requests}
        known = self._ahead.take(by_offset, time.monotonic())
        result = ReadRequests({by_offset[place]: message for place, message in known.items()})
        wanted = WantedOffsets(request for place, request in by_offset.items() if place not in known)
        if not wanted:
            return result
        try:
            self._assign(wanted)
            size = 0
            for message in self._messages(wanted):
                result.found[by_offset[place_of(message)]] = message
                size += size_of(message)
                if size > MAX_BYTES:
                    break
        except KafkaException as error:
            raise kafka.translate(error, "reading requests again") from error
        finally:
            self._consumer.unassign()  # stops fetching until the next call
        left = wanted.left()
        for place, request in by_offset.items():
            if place in wanted.failed:
                result.unread.add(request)
            elif place not in left:
                result.found.setdefault(request, None)  # gone
        return result

    def close(self) -> None:
        self._consumer.close()

    def _assign(self, wanted: WantedOffsets) -> None:
        starts = wanted.starts()
        self._consumer.assign([TopicPartition(topic, number, offset) for (topic, number), offset in starts.items()])

    def _messages(self, wanted: WantedOffsets) -> Iterable[Message]:
        """Yield the wanted records as they come, until none is left."""
        until = time.monotonic() + self._timeout_s
        while wanted:
            messages = poll_batch(self._consumer, _BATCH, 1.0)
            self._on_wait()
            if not messages and time.monotonic() > until:
                self._give_up_silent(wanted)
                return
            for message in messages:
                if self._is_wanted(message, wanted):
                    until = time.monotonic() + self._timeout_s
                    yield message

    def _is_wanted(self, message: Message, wanted: WantedOffsets) -> bool:
        key, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
        error = message.error()
        if error is not None:
            self._give_up(error, key, offset, wanted)
            return False
        taken = wanted.take(key, offset)
        if not taken:
            self._ahead.keep(message)
        if (target := wanted.seek_target(key, offset)) is not None:
            self._consumer.seek(TopicPartition(*key, target))
        return taken

    def _give_up(self, error: KafkaError, key: TopicAndPartition, offset: int, wanted: WantedOffsets) -> None:
        """Give up the offsets that an error reports as gone or damaged. Raises Unreachable if Kafka does not answer."""
        if error.code() == KafkaError._PARTITION_EOF:
            wanted.drop_from(key, offset)
        elif error.code() in _NO_TOPIC:
            self._give_up_topic(key, wanted)
        elif error.code() in _GONE:
            low, _ = self._consumer.get_watermark_offsets(TopicPartition(*key), timeout=self._timeout_s)
            start = wanted.starts().get(key)
            # Skip at least one offset: a log that reports its own first offset as gone would be read forever.
            wanted.drop_below(key, low if start is None else max(low, start + 1))
            self._assign(wanted)
        elif isinstance(translated := kafka.translate(error, "reading requests again"), Unreachable):
            log.warning(
                "requests_wait", topic=key[0], partition=key[1], reason=str(translated)
            )  # the client tries again
        elif wanted.fail_first(key) is not None:
            log.error("request_not_readable", topic=key[0], partition=key[1], reason=error.str())
            self._assign(wanted)

    def _give_up_silent(self, wanted: WantedOffsets) -> None:
        """Give up partitions that send nothing although Kafka answers for them. Raises Unreachable if it does not."""
        for topic, partition in list(wanted.starts()):
            try:
                self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=1.0)
                answers = True
            except KafkaException:
                answers = False
            self._on_wait()
            log.warning("partition_silent", topic=topic, partition=partition, answers=answers)
            wanted.fail_all((topic, partition))
            if not answers and not wanted.progressed:
                raise kafka.translate(KafkaError(KafkaError._TIMED_OUT), "reading requests again")

    def _give_up_topic(self, key: TopicAndPartition, wanted: WantedOffsets) -> None:
        """Ask again before giving up: a broker that has just started does not know all of its topics yet."""
        topic, partition = key
        described = self._consumer.list_topics(topic, timeout=self._timeout_s).topics[topic]
        if described.error is not None and described.error.code() not in _NO_TOPIC:
            raise kafka.translate(described.error, "reading requests again")
        if partition not in described.partitions:
            wanted.drop_from(key, 0)
        self._assign(wanted)
