"""How far the sink has come on each partition it owns: read, stored, and confirmed as published.

published ≤ stored ≤ read        what lies between published and stored is published again by whoever owns the partition next
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from connectors.store import ClaimedOffsets, OffsetRow

Key = tuple[bytes, int]


@dataclass(slots=True)
class Position:
    """One partition. `publishes`: whether its events become outcomes. Offsets are those of the next record."""

    topic: str
    epoch: int
    stored: int
    published: int
    publishes: bool
    read: int
    stored_published: int


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

    def own(self, key: Key, topic: str, claimed: ClaimedOffsets, publishes: bool) -> Position:
        """Begin where the last owner left off: at what was published, so that the rest is published again."""
        published = claimed.published if publishes else claimed.next_offset
        made = Position(topic, claimed.epoch, claimed.next_offset, published, publishes, published, claimed.published)
        self._by_key[key] = made
        return made

    def disown(self, key: Key) -> None:
        self._by_key.pop(key, None)

    def clear(self) -> None:
        self._by_key.clear()

    def saw(self, key: Key, offset: int) -> bool:
        """Note that a record was read; True if it is new, False if it was stored by an earlier owner or is not ours."""
        position = self._by_key.get(key)
        if position is None:
            return False
        position.read = max(position.read, offset + 1)
        return offset >= position.stored

    def steps(self, lowest_held: Callable[[Key], int | None]) -> list[OffsetRow]:
        """The offsets to store with the next batch, for the partitions on which something moves."""
        rows = []
        for key, position in self._by_key.items():
            held = lowest_held(key)
            target = max(position.stored, position.read if held is None else held)
            published = position.published if position.publishes else target
            if target != position.stored or published != position.stored_published:
                rows.append(OffsetRow(self._group, *key, position.epoch, position.stored, target, published))
        return rows

    def stored(self, rows: Iterable[OffsetRow]) -> None:
        """The batch with these rows was stored."""
        for row in rows:
            position = self._by_key[row.topic_id, row.partition]
            position.stored, position.stored_published = row.next_offset, row.published
            if not position.publishes:
                position.published = row.next_offset

    def published(self, upto: dict[Key, int]) -> None:
        """Everything before these offsets is confirmed."""
        for key, offset in upto.items():
            position = self._by_key.get(key)
            if position is not None:
                position.published = max(position.published, offset)

    def read_offsets(self) -> dict[Key, int]:
        """Where each partition that publishes has been read to, within what is stored."""
        return {key: min(p.read, p.stored) for key, p in self._by_key.items() if p.publishes}
