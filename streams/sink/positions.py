"""The sink's offsets of each assigned partition: read, stored, and confirmed as published.

    published ≤ stored ≤ read

The next owner of the partition publishes the outcomes between published and stored again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from connectors.sink_store import ClaimedOffsets, OffsetRow

Key = tuple[bytes, int]


@dataclass(slots=True)
class Position:
    """The offsets of one partition. Each is that of the next record."""

    topic: str
    epoch: int
    stored: int
    published: int
    publishes: bool  #: Its events become outcomes.
    read: int
    stored_published: int  #: `published` as the store has it.


class Positions:
    """Positions by topic id and partition. Not thread-safe."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._by_key: dict[Key, Position] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._by_key

    def __len__(self) -> int:
        return len(self._by_key)

    def items(self) -> Iterable[tuple[Key, Position]]:
        return self._by_key.items()

    def assign(self, key: Key, topic: str, claimed: ClaimedOffsets, publishes: bool) -> Position:
        """Add a partition, to be read from the last owner's published offset, so that unconfirmed outcomes are sent again."""
        published = claimed.published if publishes else claimed.next_offset
        position = Position(
            topic, claimed.epoch, claimed.next_offset, published, publishes, published, claimed.published
        )
        self._by_key[key] = position
        return position

    def revoke(self, key: Key) -> None:
        self._by_key.pop(key, None)

    def mark_read(self, key: Key, offset: int) -> bool:
        """Mark a record as read. True if it is new; False if an earlier owner stored it or the partition is not assigned."""
        position = self._by_key.get(key)
        if position is None:
            return False
        position.read = max(position.read, offset + 1)
        return offset >= position.stored

    def offset_rows(self, lowest_held: Callable[[Key], int | None]) -> list[OffsetRow]:
        """Return the offsets to store with the next batch, of partitions where one has moved.

        `lowest_held` returns the first offset of a partition that must not be passed yet.
        """
        rows = []
        for key, position in self._by_key.items():
            held = lowest_held(key)
            target = max(position.stored, position.read if held is None else held)
            published = position.published if position.publishes else target
            if target != position.stored or published != position.stored_published:
                rows.append(OffsetRow(self._group, *key, position.epoch, position.stored, target, published))
        return rows

    def stored(self, rows: Iterable[OffsetRow]) -> None:
        """Set the offsets of a batch that was stored."""
        for row in rows:
            position = self._by_key[row.topic_id, row.partition]
            position.stored, position.stored_published = row.next_offset, row.published
            if not position.publishes:
                position.published = row.next_offset

    def published(self, upto: dict[Key, int]) -> None:
        """Set the offsets up to which every outcome is confirmed."""
        for key, offset in upto.items():
            position = self._by_key.get(key)
            if position is not None:
                position.published = max(position.published, offset)

    def read_offsets(self) -> dict[Key, int]:
        """Return the offset up to which each partition that publishes is both read and stored."""
        return {key: min(p.read, p.stored) for key, p in self._by_key.items() if p.publishes}
