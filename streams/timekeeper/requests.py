"""Requests read again from where they lie in the log, many at once.

Each partition is read once, upwards: what lies between two wanted records is skipped, or jumped over where it is much.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from schemas.records import Coordinates
from streams.log import kafka
from streams.settings import Settings

TIMEOUT_S = 10.0
#: So many records are sooner read and thrown away than jumped over: a jump drops what was fetched ahead.
GAP = 500
_BATCH = 500
_GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
_NO_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)

Key = tuple[str, int]


class WantedOffsets:
    """Which offsets of each partition are still to come, ascending. Pure."""

    def __init__(self, places: Iterable[Coordinates]) -> None:
        self._left: dict[Key, deque[int]] = {}
        for place in sorted(places, key=lambda p: (p.topic, p.partition, p.offset)):
            self._left.setdefault((place.topic, place.partition), deque()).append(place.offset)
        self._aimed = {key: offsets[0] for key, offsets in self._left.items()}

    def __bool__(self) -> bool:
        return bool(self._left)

    def starts(self) -> dict[Key, int]:
        """The next wanted offset of each partition."""
        return {key: offsets[0] for key, offsets in self._left.items()}

    def take(self, key: Key, offset: int) -> bool:
        """A record at `offset` was read; True if it is wanted. Wanted ones before it are gone from the log."""
        offsets = self._left.get(key)
        if offsets is None:
            return False
        while offsets and offsets[0] < offset:
            offsets.popleft()
        taken = bool(offsets) and offsets[0] == offset
        if taken:
            offsets.popleft()
        self._tidy(key)
        return taken

    def jump(self, key: Key, offset: int) -> int | None:
        """Where to go on after `offset`, if the next wanted record is far; each jump is told once."""
        offsets = self._left.get(key)
        if not offsets or offsets[0] - offset <= GAP or self._aimed[key] == offsets[0]:
            return None
        self._aimed[key] = offsets[0]
        return offsets[0]

    def drop_below(self, key: Key, offset: int) -> None:
        """The log begins at `offset`."""
        offsets = self._left.get(key, deque())
        while offsets and offsets[0] < offset:
            offsets.popleft()
        self._tidy(key)

    def drop_from(self, key: Key, offset: int) -> None:
        """The log ends at `offset`."""
        offsets = self._left.get(key, deque())
        while offsets and offsets[-1] >= offset:
            offsets.pop()
        self._tidy(key)

    def _tidy(self, key: Key) -> None:
        if not self._left.get(key, True):
            del self._left[key]


class RequestReader:
    """Reads by assignment, outside any group. Used by one thread. `pulse` is called at least once a second meanwhile."""

    def __init__(self, settings: Settings, pulse: Callable[[], None]) -> None:
        self._pulse = pulse
        self._consumer = kafka.reader(
            settings,
            **{
                "auto.offset.reset": "error",  # a record that is gone is gone, and not the next one that is left
                "enable.partition.eof": True,
                # Often one record is wanted, and not the megabytes after it.
                "fetch.message.max.bytes": 262_144,
                "queued.min.messages": _BATCH,
                "fetch.wait.max.ms": 10,
            },
        )

    def read(self, places: Iterable[Coordinates]) -> dict[Coordinates, Message | None]:
        """The records at these places; None for one that the log has no more. Raises Unreachable."""
        by_place = {(place.topic, place.partition, place.offset): place for place in places}
        found: dict[Coordinates, Message | None] = dict.fromkeys(by_place.values())
        wanted = WantedOffsets(found)
        if not wanted:
            return found
        try:
            self._assign(wanted)
            for message in self._messages(wanted):
                place = by_place[message.topic() or "", message.partition() or 0, message.offset() or 0]
                found[place] = message
        except KafkaException as error:
            raise kafka.translate(error, "reading requests again") from error
        finally:
            self._consumer.unassign()  # nothing more is fetched meanwhile
        return found

    def close(self) -> None:
        self._consumer.close()

    def _assign(self, wanted: WantedOffsets) -> None:
        starts = wanted.starts()
        self._consumer.assign([TopicPartition(topic, number, offset) for (topic, number), offset in starts.items()])

    def _messages(self, wanted: WantedOffsets) -> Iterable[Message]:
        """The wanted records as they come, until none is left."""
        until = time.monotonic() + TIMEOUT_S
        while wanted:
            first = self._consumer.poll(1.0)
            self._pulse()
            if first is None:
                if time.monotonic() > until:
                    raise kafka.translate(KafkaError(KafkaError._TIMED_OUT), "reading requests again")
                continue
            for message in (first, *self._consumer.consume(_BATCH - 1, 0)):
                if self._is_wanted(message, wanted):
                    until = time.monotonic() + TIMEOUT_S
                    yield message

    def _is_wanted(self, message: Message, wanted: WantedOffsets) -> bool:
        key, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
        error = message.error()
        if error is not None:
            self._without(error, key, offset, wanted)
            return False
        taken = wanted.take(key, offset)
        if (target := wanted.jump(key, offset)) is not None:
            self._consumer.seek(TopicPartition(*key, target))
        return taken

    def _without(self, error: KafkaError, key: Key, offset: int, wanted: WantedOffsets) -> None:
        """Give up what an error says is gone. Raises Unreachable for any other error."""
        if error.code() == KafkaError._PARTITION_EOF:
            wanted.drop_from(key, offset)
        elif error.code() in _NO_TOPIC:
            self._without_topic(key, wanted)
        elif error.code() in _GONE:
            low, _ = self._consumer.get_watermark_offsets(TopicPartition(*key), timeout=TIMEOUT_S)
            start = wanted.starts().get(key)
            # Never the same offset twice: a log that says its beginning is not there would be asked for ever.
            wanted.drop_below(key, low if start is None else max(low, start + 1))
            self._assign(wanted)
        else:
            raise kafka.translate(error, "reading requests again")

    def _without_topic(self, key: Key, wanted: WantedOffsets) -> None:
        """Asked again before anything is given up: a broker that has just started does not know all of its topics yet."""
        topic, partition = key
        described = self._consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
        if described.error is not None and described.error.code() not in _NO_TOPIC:
            raise kafka.translate(described.error, "reading requests again")
        if partition not in described.partitions:
            wanted.drop_from(key, 0)
        self._assign(wanted)
