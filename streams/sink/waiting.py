"""Records that can't be handled until the schema registry answers. The others go on; no stored offset passes them."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Message

from streams.sink.positions import Key

#: Seconds until the records are tried again.
RETRY_S = 0.5
#: Limits at which the sink reads no more, because it would hold any number of records in memory.
MOST_RECORDS = 1_000
MOST_BYTES = 16 * 1024 * 1024


class WaitingRecords:
    """Not thread-safe, except for `len`. `now` is any monotonic clock."""

    def __init__(self) -> None:
        self._by_key: dict[Key, dict[int, Message]] = {}
        self._keys: dict[tuple[str, int], Key] = {}
        self._count = 0
        self._bytes = 0
        self._due_at = 0.0

    def __len__(self) -> int:
        return self._count

    @property
    def full(self) -> bool:
        return self._count >= MOST_RECORDS or self._bytes >= MOST_BYTES

    def put(self, key: Key, message: Message, now: float) -> None:
        """Set one record aside until it is removed."""
        records = self._by_key.setdefault(key, {})
        self._keys[message.topic() or "", message.partition() or 0] = key
        if message.offset() in records:
            return
        if not self._count:
            self._due_at = now + RETRY_S
        records[message.offset() or 0] = message
        self._count += 1
        self._bytes += size_of(message)

    def due(self, now: float) -> list[Message]:
        """Return all records if it is time to try them again, by partition and offset. Each stays until it is removed."""
        if not self._count or now < self._due_at:
            return []
        self._due_at = now + RETRY_S
        return [records[offset] for records in self._by_key.values() for offset in sorted(records)]

    def remove(self, messages: Iterable[Message]) -> None:
        """Remove those of the messages that wait: they are handled now, or put again."""
        for message in messages if self._count else ():
            key = self._keys.get((message.topic() or "", message.partition() or 0))
            if key is not None and self._by_key.get(key, {}).pop(message.offset() or 0, None) is not None:
                self._count -= 1
                self._bytes -= size_of(message)

    def lowest(self, key: Key) -> int | None:
        """Return the first offset that waits in a partition; None if there is none."""
        return min(self._by_key.get(key, ()), default=None)

    def forget(self, key: Key) -> None:
        """Drop the records of a revoked partition: its next owner reads them again."""
        records = self._by_key.pop(key, {})
        self._count -= len(records)
        self._bytes -= sum(size_of(message) for message in records.values())


def size_of(message: Message) -> int:
    """Return the bytes of a record's key and value."""
    return len(message.value() or b"") + len(message.key() or b"")
