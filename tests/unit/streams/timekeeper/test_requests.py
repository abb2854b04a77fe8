"""Reading by coordinates finds every wanted record that is left, without reading everything between."""

from __future__ import annotations

from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Coordinates
from streams.timekeeper.records_ahead import AHEAD_S, RecordsAhead
from streams.timekeeper.requests import GAP, WantedOffsets

KEY = ("requests.echo", 3)


def wanted(*offsets: int) -> WantedOffsets:
    return WantedOffsets(Coordinates(*KEY, offset) for offset in offsets)


def read(wanted: WantedOffsets, log: list[int]) -> tuple[set[int], int]:
    """Read a log with these offsets upwards, seeking as requested; return the found offsets and how many records were read."""
    found, scanned = set(), 0
    position = wanted.starts().get(KEY, 0)
    for offset in log:
        if offset < position or not wanted:
            continue
        scanned += 1
        if wanted.take(KEY, offset):
            found.add(offset)
        position = wanted.seek_target(KEY, offset) or position
    return found, scanned


@given(st.sets(st.integers(0, 5000), min_size=1), st.sets(st.integers(0, 5000)))
def test_all_that_is_left_in_the_log_is_found_and_nothing_else(requested: set[int], log: set[int]) -> None:
    found, _ = read(wanted(*requested), sorted(log))
    assert found == requested & log


def test_a_large_gap_is_seeked_over_and_a_small_one_read() -> None:
    far, log = 100 * GAP, list(range(101 * GAP))
    assert read(wanted(0, far), log) == ({0, far}, 2)
    assert read(wanted(0, GAP), log) == ({0, GAP}, GAP + 1)


def test_a_seek_is_requested_once_however_many_records_were_prefetched() -> None:
    requested = wanted(0, 10 * GAP)
    requested.take(KEY, 0)
    assert [requested.seek_target(KEY, offset) for offset in range(3)] == [10 * GAP, None, None]


def test_offsets_before_the_beginning_or_from_the_end_on_are_given_up() -> None:
    requested = wanted(1, 5, 9)
    requested.drop_below(KEY, 5)
    requested.drop_from(KEY, 9)
    assert requested.starts() == {KEY: 5}
    requested.drop_from(KEY, 0)
    assert not requested


def test_another_partition_is_ignored() -> None:
    requested = wanted(1)
    assert not requested.take(("requests.echo", 4), 1)
    assert requested.seek_target(("requests.echo", 4), 1) is None


def record(offset: int, size: int = 10) -> Message:
    return Message(topic="t", partition=0, offset=offset, value=b"x" * size)


def test_records_ahead_are_kept_by_their_size_and_the_oldest_go_first() -> None:
    ahead = RecordsAhead(most_bytes=30)
    for offset in range(5):
        ahead.keep(record(offset))
    ahead.keep(record(9, size=31))
    ahead.keep(record(4))
    places = [("t", 0, offset) for offset in range(10)]
    assert [offset for _, _, offset in ahead.take(places, now=0.0)] == [2, 3, 4]
    assert ahead.take(places, now=0.0) == {}


def test_records_ahead_are_dropped_once_they_are_old() -> None:
    ahead = RecordsAhead(most_bytes=30)
    ahead.take([], now=0.0)
    ahead.keep(record(1))
    assert ahead.take([("t", 0, 1)], now=AHEAD_S + 1) == {}
