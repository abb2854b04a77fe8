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
class PartitionOffsets:
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
        self._by_key: dict[Key, PartitionOffsets] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._by_key

    def __len__(self) -> int:
        return len(self._by_key)

    def items(self) -> Iterable[tuple[Key, PartitionOffsets]]:
        return self._by_key.items()

    def assign(self, key: Key, topic: str, claimed: ClaimedOffsets, publishes: bool) -> PartitionOffsets:
        """Add a partition, to be read from the last owner's published offset, so that unconfirmed outcomes are sent again."""
        published = claimed.published if publishes else claimed.next_offset
        offsets = PartitionOffsets(
            topic, claimed.epoch, claimed.next_offset, published, publishes, published, claimed.published
        )
        self._by_key[key] = offsets
        return offsets

    def revoke(self, key: Key) -> None:
        self._by_key.pop(key, None)

    def mark_read(self, key: Key, offset: int) -> bool:
        """Mark a record as read. True if it is new; False if an earlier owner stored it or the partition is not assigned."""
        offsets = self._by_key.get(key)
        if offsets is None:
            return False
        offsets.read = max(offsets.read, offset + 1)
        return offset >= offsets.stored

    def offset_rows(self, lowest_held: Callable[[Key], int | None]) -> list[OffsetRow]:
        """Return the offsets to store with the next batch, of partitions where one has moved.

        `lowest_held` returns the first offset of a partition that must not be passed yet.
        """
        rows = []
        for key, offsets in self._by_key.items():
            held = lowest_held(key)
            target = max(offsets.stored, offsets.read if held is None else held)
            published = offsets.published if offsets.publishes else target
            if target != offsets.stored or published != offsets.stored_published:
                rows.append(OffsetRow(self._group, *key, offsets.epoch, offsets.stored, target, published))
        return rows

    def stored(self, rows: Iterable[OffsetRow]) -> None:
        """Set the offsets of a batch that was stored."""
        for row in rows:
            offsets = self._by_key[row.topic_id, row.partition]
            offsets.stored, offsets.stored_published = row.next_offset, row.published
            if not offsets.publishes:
                offsets.published = row.next_offset

    def published(self, upto: dict[Key, int]) -> None:
        """Set the offsets up to which every outcome is confirmed."""
        for key, offset in upto.items():
            offsets = self._by_key.get(key)
            if offsets is not None:
                offsets.published = max(offsets.published, offset)

    def read_offsets(self) -> dict[Key, int]:
        """Return the offset up to which each partition that publishes is both read and stored."""
        return {key: min(p.read, p.stored) for key, p in self._by_key.items() if p.publishes}
