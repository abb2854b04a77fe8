"""Positions of the sink: what is published was stored before, and what is stored was read before."""

from __future__ import annotations

from connectors.sink_store import ClaimedOffsets
from streams.sink.positions import Positions

KEY = (b"t" * 16, 0)


def nothing_held(_: object) -> int | None:
    return None


def test_a_new_owner_reads_again_from_the_published_offset() -> None:
    positions = Positions("g")
    assert positions.assign(KEY, "results", ClaimedOffsets(10, 7, 3), publishes=True).read == 7
    assert [positions.mark_read(KEY, offset) for offset in (7, 9, 10)] == [False, False, True]
    [row] = positions.offset_rows(nothing_held)
    assert (row.epoch, row.expected, row.next_offset, row.published) == (3, 10, 11, 7)


def test_a_partition_that_publishes_nothing_is_read_from_what_was_stored() -> None:
    positions = Positions("g")
    assert positions.assign(KEY, "requests", ClaimedOffsets(10, 7, 3), publishes=False).read == 10


def test_an_offset_is_stored_only_up_to_what_is_held_back() -> None:
    positions = Positions("g")
    positions.assign(KEY, "requests", ClaimedOffsets(0, 0, 1), publishes=False)
    positions.mark_read(KEY, 8)
    [row] = positions.offset_rows(lambda _: 5)
    assert row.next_offset == 5
    positions.stored([row])
    assert positions.offset_rows(lambda _: 5) == []
    [row] = positions.offset_rows(nothing_held)
    assert (row.expected, row.next_offset, row.published) == (5, 9, 9)


def test_what_is_confirmed_is_stored_with_the_next_step() -> None:
    positions = Positions("g")
    positions.assign(KEY, "results", ClaimedOffsets(0, 0, 1), publishes=True)
    positions.mark_read(KEY, 4)
    positions.stored(positions.offset_rows(nothing_held))
    assert positions.read_offsets() == {KEY: 5}
    positions.published({KEY: 5})
    [row] = positions.offset_rows(nothing_held)
    assert (row.expected, row.next_offset, row.published) == (5, 5, 5)
    positions.stored([row])
    assert positions.offset_rows(nothing_held) == []


def test_a_revoked_partition_is_no_longer_ours() -> None:
    positions = Positions("g")
    positions.assign(KEY, "results", ClaimedOffsets(0, 0, 1), publishes=True)
    positions.revoke(KEY)
    assert KEY not in positions
    assert positions.mark_read(KEY, 1) is False
    assert positions.offset_rows(nothing_held) == []
