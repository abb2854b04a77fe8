"""A partition without progress is read again, and a router that this does not help ends."""

from __future__ import annotations

from streams.router.stalls import PATIENCE_S, TRIES, PartitionProgress, StallWatch

STEP = PATIENCE_S + 1


def place(expected: int = 5, gap: bool = False, end: int = 9, read_at: float = 0.0) -> dict[str, PartitionProgress]:
    return {"p": PartitionProgress(expected, gap, end, read_at)}


def test_a_partition_that_makes_progress_or_has_no_more_records_is_left_alone() -> None:
    watch = StallWatch[str]()
    for turn in range(5):
        assert watch.check(place(5 + turn, end=20), turn * STEP) == ([], [])
        assert watch.check({"q": PartitionProgress(9, False, 9, 0.0)}, turn * STEP) == ([], [])


def test_a_partition_whose_records_are_in_work_is_left_alone() -> None:
    watch = StallWatch[str]()
    for turn in range(5):
        assert watch.check(place(read_at=turn * STEP), turn * STEP) == ([], [])


def test_a_silent_partition_is_read_again_once_for_each_end_of_the_log() -> None:
    watch = StallWatch[str]()
    assert watch.check(place(), 0 * STEP) == ([], [])
    assert watch.check(place(), 1 * STEP) == (["p"], [])
    assert watch.check(place(), 2 * STEP) == ([], [])  # the log ends with a transaction's end, which is no record
    assert watch.check(place(end=10), 2 * STEP + 1) == ([], [])
    assert watch.check(place(end=10), 3 * STEP + 1) == (["p"], [])


def test_a_record_that_comes_after_a_quiet_time_has_all_its_time() -> None:
    watch = StallWatch[str]()
    for turn in range(3):
        assert watch.check(place(end=5), turn * STEP) == ([], [])
    assert watch.check(place(end=6), 2 * STEP + 1) == ([], [])
    assert watch.check(place(end=6), 3 * STEP + 1) == (["p"], [])


def test_a_gap_that_stays_is_hopeless() -> None:
    watch = StallWatch[str]()
    turns = [watch.check(place(gap=True, read_at=turn * STEP), turn * STEP) for turn in range(TRIES + 2)]
    assert turns == [([], []), *[(["p"], [])] * TRIES, ([], ["p"])]


def test_waiting_of_the_routers_own_is_no_stall() -> None:
    watch = StallWatch[str]()
    for turn in range(5):
        assert watch.check(place(gap=True), turn * STEP) == ([], [])
        watch.forget()
