"""Topics and their partitions: records by rising offset, with gaps once compacted. Not thread-safe; the log locks."""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import TIMESTAMP_CREATE_TIME, Message

#: The broker's own default for `max.message.bytes`.
LARGEST_RECORD = 1_048_588
#: Bytes a record has besides key, value and headers, roughly: enough to refuse what the broker refuses.
_OVERHEAD = 70

PlainHeaders = list[tuple[str, bytes | None]]


class StoredRecord(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None
    headers: PlainHeaders | None
    timestamp_ms: int


class Partition:
    """`begin` is the first kept offset, `end` the offset of the next record."""

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
        """Return the first record at this offset or after it."""
        index = self._index(offset)
        return self.records[index] if index < len(self.records) else None

    def since(self, timestamp_ms: int) -> int | None:
        """Return the first offset at or after a time; None if all are older."""
        return next((record.offset for record in self.records if record.timestamp_ms >= timestamp_ms), None)

    def delete_before(self, offset: int) -> None:
        self.records = self.records[self._index(offset) :]
        self.begin = max(self.begin, min(offset, self.end))

    def compact(self) -> None:
        """Keep each key's last record, unless that is a tombstone; offsets stay, with gaps."""
        last = {record.key: record.offset for record in self.records}
        self.records = [
            record for record in self.records if last[record.key] == record.offset and record.value is not None
        ]

    def _index(self, offset: int) -> int:
        records = self.records
        if not records or offset <= records[0].offset:
            return 0
        guess = offset - records[0].offset
        if guess < len(records) and records[guess].offset == offset:  # no gaps before it: the usual case
            return guess
        return bisect_left(records, offset, key=lambda record: record.offset)


class MemoryTopic:
    def __init__(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        self.name = name
        self.topic_id = uuid.uuid4()
        self.partitions = [Partition() for _ in range(partitions)]
        self.config = {"cleanup.policy": "delete", "retention.ms": "604800000", **config}

    def accepts(self, key: bytes | None, value: bytes | None, headers: PlainHeaders | None) -> bool:
        """True if a record is within `max.message.bytes`."""
        size = len(key or b"") + len(value or b"") + _OVERHEAD
        size += sum(len(name) + len(content or b"") + 2 for name, content in headers or ())
        return size <= int(self.config.get("max.message.bytes", LARGEST_RECORD))


def message_of(topic: str, partition: int, record: StoredRecord) -> Message:
    """Return a record as a consumer gets it: confluent_kafka's own class."""
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
    headers: Mapping[str, bytes | str | None] | Iterable[tuple[str, bytes | str | None]] | None,
) -> PlainHeaders | None:
    """Return headers as a consumer gets them: pairs, with values as bytes."""
    if headers is None:
        return None
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    plain = [(name, content.encode() if isinstance(content, str) else content) for name, content in pairs]
    return plain or None
