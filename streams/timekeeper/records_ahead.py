"""Records that were read along with wanted ones, for the next read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from confluent_kafka import Message

#: How long they are kept.
AHEAD_S = 10.0

Place = tuple[str, int, int]


class RecordsAhead:
    """Records that came along with wanted ones: a replay wants them a moment later, and each fetch brings hundreds. Keeps up to
    `most_bytes`, the oldest go first. `now` is any monotonic clock."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._records: OrderedDict[Place, Message] = OrderedDict()
        self._bytes = 0
        self._used_at = 0.0

    def take(self, places: Iterable[Place], now: float) -> dict[Place, Message]:
        """Remove and return the records of these places that are here."""
        if now > self._used_at + AHEAD_S:
            self._records.clear()
            self._bytes = 0
        self._used_at = now
        found = {place: record for place in places if (record := self._records.pop(place, None)) is not None}
        self._bytes -= sum(map(size_of, found.values()))
        return found

    def keep(self, record: Message) -> None:
        size = size_of(record)
        if size > self._most_bytes:
            return
        place = place_of(record)
        replaced = self._records.pop(place, None)
        self._bytes += size - (0 if replaced is None else size_of(replaced))
        self._records[place] = record
        while self._bytes > self._most_bytes:
            _, oldest = self._records.popitem(last=False)
            self._bytes -= size_of(oldest)


def place_of(message: Message) -> Place:
    """Return the topic, partition and offset of a record."""
    return message.topic() or "", message.partition() or 0, message.offset() or 0


def size_of(message: Message) -> int:
    """Return the bytes of a record's value."""
    return len(message.value() or b"")
