"""The committed prefix, under every order in which jobs may finish."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.worker.kafka_source.offsets import OffsetSpan, OffsetTracker, Snapshot


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Delivered offsets, rising with gaps, and those of them that get done, in any order."""
    offsets = sorted(draw(st.sets(st.integers(0, 60), min_size=1, max_size=30)))
    done = draw(st.lists(st.sampled_from(offsets), unique=True))
    return offsets, done


def tracker_of(offsets: list[int], done: list[int]) -> OffsetTracker:
    tracker = OffsetTracker()
    for offset in offsets:
        assert tracker.handed_out(offset)
    for offset in done:
        tracker.done(offset)
    return tracker


def test_there_is_nothing_to_commit_before_the_first_offset_is_handed_out() -> None:
    assert OffsetTracker().position() is None


@given(histories())
def test_nothing_unfinished_lies_below_the_position(history: tuple[list[int], list[int]]) -> None:
    offsets, done = history
    unfinished = sorted(set(offsets) - set(done))
    position = tracker_of(offsets, done).position()
    assert position == (unfinished[0] if unfinished else offsets[-1] + 1)


@given(histories())
def test_the_position_never_moves_back(history: tuple[list[int], list[int]]) -> None:
    offsets, done = history
    tracker = tracker_of(offsets, [])
    positions = [tracker.position()]
    for offset in done:
        tracker.done(offset)
        positions.append(tracker.position())
    assert positions == sorted(positions, key=lambda position: position or 0)


@given(histories())
def test_the_tracker_counts_unfinished_offsets(history: tuple[list[int], list[int]]) -> None:
    offsets, done = history
    assert tracker_of(offsets, done).outstanding == len(offsets) - len(done)


@given(histories())
def test_an_offset_that_is_done_twice_changes_nothing(history: tuple[list[int], list[int]]) -> None:
    offsets, done = history
    once, twice = tracker_of(offsets, done), tracker_of(offsets, done + done)
    assert (once.position(), once.outstanding) == (twice.position(), twice.outstanding)


def test_a_gap_that_was_never_handed_out_counts_as_done() -> None:
    tracker = tracker_of([3, 9], [3])
    assert tracker.position() == 9
    tracker.done(9)
    assert tracker.position() == 10


def test_done_for_an_offset_that_was_never_handed_out_changes_nothing() -> None:
    tracker = tracker_of([5, 6], [])
    tracker.done(3)
    assert tracker.position() == 5


def test_a_record_that_is_fetched_twice_runs_once() -> None:
    tracker = tracker_of([5, 6], [6])
    assert not tracker.handed_out(6)
    assert not tracker.handed_out(5)
    assert tracker.handed_out(7)
    assert tracker.end == 8


# ── what an earlier owner left ──


def test_the_position_begins_at_the_last_owners() -> None:
    tracker = OffsetTracker(Snapshot(10, 20, (OffsetSpan(10, 12), OffsetSpan(15, 16, 1))))
    assert (tracker.position(), tracker.end, tracker.outstanding) == (10, 20, 0)


def test_only_unfinished_offsets_run_again_with_their_execution_counted() -> None:
    tracker = OffsetTracker(Snapshot(10, 20, (OffsetSpan(10, 12), OffsetSpan(15, 16, 1))))
    assert {offset: tracker.handed_out(offset) for offset in range(10, 22)} == {
        **dict.fromkeys(range(10, 22), 0),
        **{10: 1, 11: 1, 15: 2, 20: 1, 21: 1},
    }


def test_the_position_passes_offsets_that_the_last_owner_finished() -> None:
    tracker = OffsetTracker(Snapshot(10, 20, (OffsetSpan(10, 11), OffsetSpan(15, 16))))
    tracker.handed_out(10)
    tracker.done(10)
    assert tracker.position() == 15
    tracker.handed_out(15)
    tracker.done(15)
    assert tracker.position() == 20


def test_an_unfinished_offset_that_is_never_handed_out_again_counts_as_done() -> None:
    tracker = OffsetTracker(Snapshot(10, 20, (OffsetSpan(10, 16),)))
    assert tracker.handed_out(13) == 1
    assert tracker.position() == 13
    tracker.done(13)
    assert tracker.position() == 14
    tracker.handed_out(25)
    tracker.done(25)
    assert tracker.position() == 26


def test_a_held_offset_is_not_in_flight() -> None:
    tracker = tracker_of([5, 6], [])
    tracker.hold(6)
    assert tracker.snapshot() == Snapshot(5, 7, (OffsetSpan(5, 6, 0, True), OffsetSpan(6, 7, 0, False)))
    tracker.begin(6)
    assert tracker.snapshot() == Snapshot(5, 7, (OffsetSpan(5, 7, 0, True),))


def test_a_crash_of_the_child_counts_too() -> None:
    tracker = tracker_of([5], [])
    tracker.set_crashes(5, 2)
    assert tracker.snapshot() == Snapshot(5, 6, (OffsetSpan(5, 6, 2, True),))
    tracker.done(5)
    tracker.set_crashes(5, 3)
    assert tracker.snapshot() == Snapshot(6, 6)


def test_jobs_that_pass_an_endless_one_cost_no_memory() -> None:
    tracker = tracker_of(list(range(100_000)), list(range(1, 100_000)))
    assert tracker.snapshot() == Snapshot(0, 100_000, (OffsetSpan(0, 1, 0, True),))
    assert tracker.outstanding == 1
