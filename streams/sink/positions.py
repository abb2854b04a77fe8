"""The sink's offsets of each assigned partition: read, stored, and confirmed as published.

    published ≤ stored ≤ read

The next owner of the partition publishes the outcomes between published and stored again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from connectors.sink_store import ClaimedOffsets, OffsetRow

Key = tuple[bytes, int]
#: Returns the first offset of a partition that must not be passed yet; None if there is none.
Lowest = Callable[[Key], int | None]


@dataclass(slots=True)
class PartitionOffsets:
    """The offsets of one partition. Each is that of the next record."""

    topic: str
    epoch: int
    expected: int  #: `stored` as the store has it: another number if the log begins later or ends earlier.
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

    def assign(
        self, key: Key, topic: str, claimed: ClaimedOffsets, publishes: bool, log: tuple[float, float] = (0, math.inf)
    ) -> PartitionOffsets:
        """Add a partition, to be read from the last owner's published offset, so that unconfirmed outcomes are sent again.

        `log`: where the partition begins and ends. If retention deleted what comes next, it is read from its beginning. So it
        is if it ends before the stored offset, because it was cut: any of its records may be new.
        """
        begin, end = log
        cut = claimed.next_offset > end
        stored = int(begin if cut else max(claimed.next_offset, begin))
        published = int(begin if cut else max(claimed.published, begin)) if publishes else stored
        offsets = PartitionOffsets(
            topic, claimed.epoch, claimed.next_offset, stored, published, publishes, published, claimed.published
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

    def offset_rows(self, *lowest: Lowest) -> list[OffsetRow]:
        """Return the offsets to store with the next batch, of partitions where one has moved."""
        rows = []
        for key, offsets in self._by_key.items():
            target = max(offsets.stored, _before(lowest, key, offsets.read))
            published = offsets.published if offsets.publishes else target
            if target != offsets.expected or published != offsets.stored_published:
                rows.append(OffsetRow(self._group, *key, offsets.epoch, offsets.expected, target, published))
        return rows

    def stored(self, rows: Iterable[OffsetRow]) -> None:
        """Set the offsets of a batch that was stored."""
        for row in rows:
            offsets = self._by_key[row.topic_id, row.partition]
            offsets.stored_published, offsets.expected = row.published, row.next_offset
            if row.next_offset != row.expected:
                offsets.stored = row.next_offset
            if not offsets.publishes:
                offsets.published = row.next_offset

    def published(self, upto: dict[Key, int]) -> None:
        """Set the offsets up to which every outcome is confirmed."""
        for key, offset in upto.items():
            offsets = self._by_key.get(key)
            if offsets is not None:
                offsets.published = max(offsets.published, offset)

    def read_offsets(self, *lowest: Lowest) -> dict[Key, int]:
        """Return the offset up to which each partition that publishes is both read and stored."""
        return {
            key: _before(lowest, key, min(offsets.read, offsets.stored))
            for key, offsets in self._by_key.items()
            if offsets.publishes
        }


def _before(lowest: Iterable[Lowest], key: Key, offset: int) -> int:
    """Return the offset, or the first one before it that must not be passed yet."""
    for held in lowest:
        first = held(key)
        if first is not None and first < offset:
            offset = first
    return offset
