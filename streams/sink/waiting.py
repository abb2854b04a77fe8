"""Records that can't be handled until the schema registry answers. The others go on; no stored offset passes them."""

from __future__ import annotations

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
        self._count = 0
        self._bytes = 0
        self._due_at = 0.0

    def __len__(self) -> int:
        return self._count

    @property
    def full(self) -> bool:
        return self._count >= MOST_RECORDS or self._bytes >= MOST_BYTES

    def put(self, key: Key, message: Message, now: float) -> None:
        """Set one record aside until `take_due` returns it."""
        records = self._by_key.setdefault(key, {})
        if message.offset() in records:
            return
        if not self._count:
            self._due_at = now + RETRY_S
        records[message.offset() or 0] = message
        self._count += 1
        self._bytes += size_of(message)

    def take_due(self, now: float) -> list[Message]:
        """Remove and return all records if it is time to try them again, by partition and offset."""
        if not self._count or now < self._due_at:
            return []
        due = [records[offset] for records in self._by_key.values() for offset in sorted(records)]
        self._by_key.clear()
        self._count = self._bytes = 0
        return due

    def lowest(self, key: Key) -> int | None:
        """Return the first offset that waits in a partition; None if there is none."""
        return min(self._by_key[key], default=None) if key in self._by_key else None

    def forget(self, key: Key) -> None:
        """Drop the records of a revoked partition: its next owner reads them again."""
        records = self._by_key.pop(key, {})
        self._count -= len(records)
        self._bytes -= sum(size_of(message) for message in records.values())


def size_of(message: Message) -> int:
    """Return the bytes of a record's key and value."""
    return len(message.value() or b"") + len(message.key() or b"")
