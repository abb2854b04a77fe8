"""Topics and their partitions: records in rising offsets, some of them gone. Not thread-safe; the log locks."""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import TIMESTAMP_CREATE_TIME, Message

#: The broker's own default for `max.message.bytes`.
LARGEST_RECORD = 1_048_588
#: What a record costs beside its key, value and headers, about: enough to refuse what the broker refuses.
_OVERHEAD = 70

PlainHeaders = list[tuple[str, bytes | None]]


class StoredRecord(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None
    headers: PlainHeaders | None
    timestamp_ms: int


class Partition:
    """`begin` is the first offset that is kept, `end` the one that the next record gets."""

    def __init__(self) -> None:
        self.begin = 0
        self.end = 0
        self.records: list[StoredRecord] = []

    def append(self, key: bytes | None, value: bytes | None, headers: PlainHeaders | None, timestamp_ms: int) -> int:
        offset = self.end
        self.records.append(StoredRecord(offset, key, value, headers, timestamp_ms))
        self.end += 1
        return offset

    def at(self, offset: int) -> StoredRecord | None:
        """The first record at this offset or after it."""
        index = self._index(offset)
        return self.records[index] if index < len(self.records) else None

    def since(self, timestamp_ms: int) -> int | None:
        """The first offset at or after a time; None when all are older."""
        return next((record.offset for record in self.records if record.timestamp_ms >= timestamp_ms), None)

    def delete_before(self, offset: int) -> None:
        self.records = self.records[self._index(offset) :]
        self.begin = max(self.begin, min(offset, self.end))

    def compact(self) -> None:
        """Keep each key's last record, and none whose last word was a tombstone; offsets stay, with gaps."""
        last = {record.key: record.offset for record in self.records}
        self.records = [
            record for record in self.records if last[record.key] == record.offset and record.value is not None
        ]

    def _index(self, offset: int) -> int:
        records = self.records
        if not records or offset <= records[0].offset:
            return 0
        guess = offset - records[0].offset
        if guess < len(records) and records[guess].offset == offset:  # no gaps before it, as nearly always
            return guess
        return bisect_left(records, offset, key=lambda record: record.offset)


class MemoryTopic:
    def __init__(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        self.name = name
        self.topic_id = uuid.uuid4()
        self.partitions = [Partition() for _ in range(partitions)]
        self.config = {"cleanup.policy": "delete", "retention.ms": "604800000", **config}

    def takes(self, key: bytes | None, value: bytes | None, headers: PlainHeaders | None) -> bool:
        """Whether a record is within `max.message.bytes`."""
        size = len(key or b"") + len(value or b"") + _OVERHEAD
        size += sum(len(name) + len(content or b"") + 2 for name, content in headers or ())
        return size <= int(self.config.get("max.message.bytes", LARGEST_RECORD))


def message_of(topic: str, partition: int, record: StoredRecord) -> Message:
    """A record as a consumer gets it: confluent_kafka's own class, so that nobody can tell."""
    headers: Any = record.headers
    return Message(
        topic=topic,
        partition=partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=headers,
        timestamp=(TIMESTAMP_CREATE_TIME, record.timestamp_ms),
    )


def plain_headers(
    given: Mapping[str, bytes | str | None] | Iterable[tuple[str, bytes | str | None]] | None,
) -> PlainHeaders | None:
    """Headers as they come out again: pairs, their values bytes."""
    if given is None:
        return None
    pairs = given.items() if isinstance(given, Mapping) else given
    made = [(name, content.encode() if isinstance(content, str) else content) for name, content in pairs]
    return made or None
