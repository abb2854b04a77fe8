"""Which records of a log are read for a set of wanted ones: all that are left, without reading everything between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Coordinates
from streams.timekeeper.requests import GAP, WantedOffsets

KEY = ("requests.echo", 3)


def wanted(*offsets: int) -> WantedOffsets:
    return WantedOffsets(Coordinates(*KEY, offset) for offset in offsets)


def read(wanted: WantedOffsets, log: list[int]) -> tuple[set[int], int]:
    """What is found in a log with these offsets by reading upwards, jumping as told; and how many records were looked at."""
    found, looked = set(), 0
    place = wanted.starts().get(KEY, 0)
    for offset in log:
        if offset < place or not wanted:
            continue
        looked += 1
        if wanted.take(KEY, offset):
            found.add(offset)
        place = wanted.jump(KEY, offset) or place
    return found, looked


@given(st.sets(st.integers(0, 5000), min_size=1), st.sets(st.integers(0, 5000)))
def test_all_that_is_left_in_the_log_is_found_and_nothing_else(asked: set[int], log: set[int]) -> None:
    found, _ = read(wanted(*asked), sorted(log))
    assert found == asked & log


def test_a_large_gap_is_jumped_over_and_a_small_one_read() -> None:
    far, log = 100 * GAP, list(range(101 * GAP))
    assert read(wanted(0, far), log) == ({0, far}, 2)
    assert read(wanted(0, GAP), log) == ({0, GAP}, GAP + 1)


def test_a_jump_is_told_once_however_many_records_are_still_on_their_way() -> None:
    asked = wanted(0, 10 * GAP)
    asked.take(KEY, 0)
    assert [asked.jump(KEY, offset) for offset in range(3)] == [10 * GAP, None, None]


def test_what_lies_before_the_beginning_or_behind_the_end_is_given_up() -> None:
    asked = wanted(1, 5, 9)
    asked.drop_below(KEY, 5)
    asked.drop_from(KEY, 9)
    assert asked.starts() == {KEY: 5}
    asked.drop_from(KEY, 0)
    assert not asked


def test_another_partition_is_of_no_interest() -> None:
    asked = wanted(1)
    assert not asked.take(("requests.echo", 4), 1)
    assert asked.jump(("requests.echo", 4), 1) is None
