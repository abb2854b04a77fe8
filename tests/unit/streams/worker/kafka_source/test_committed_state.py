"""The state in which the next owner starts a partition, by its last commit."""

from __future__ import annotations

import pytest

from streams.worker.kafka_source.committed_state import StartState, start_state
from streams.worker.kafka_source.offset_metadata import CommitMetadata
from streams.worker.kafka_source.offsets import OffsetSpan, Snapshot

SPANS = (OffsetSpan(10, 12, 0, True), OffsetSpan(15, 16, 1, False))
SNAPSHOT = Snapshot(10, 20, SPANS)


def test_after_a_clean_stop_there_is_nothing_to_recover() -> None:
    clean = Snapshot(10, 20, (OffsetSpan(10, 12, 0, True),))
    assert start_state(CommitMetadata(clean, False), 30, 100) == StartState(Snapshot(10, 20, (OffsetSpan(10, 12),)), 0)


def test_a_suspect_stays_a_suspect_after_a_clean_stop() -> None:
    assert start_state(CommitMetadata(SNAPSHOT, False), 30, 100) == StartState(
        Snapshot(10, 20, (OffsetSpan(10, 12), OffsetSpan(15, 16, 1))), 20
    )


@pytest.mark.parametrize(("high", "recovery_until"), [(30, 30), (500, 120), (20, 20), (None, 120)])
def test_after_an_unclean_stop_recovery_covers_all_offsets_that_may_have_been_handed_out(
    high: int | None, recovery_until: int
) -> None:
    assert start_state(CommitMetadata(SNAPSHOT, True), high, 100) == StartState(
        Snapshot(10, 20, (OffsetSpan(10, 12, 1), OffsetSpan(15, 16, 1))), recovery_until
    )


def test_an_idle_worker_that_crashed_leaves_nothing_to_recover() -> None:
    left = start_state(CommitMetadata(Snapshot(20, 20), True), 20, 100)
    assert left.recovery_until <= 20


def test_in_a_log_that_lost_its_end_no_offset_counts_as_done() -> None:
    assert start_state(CommitMetadata(SNAPSHOT, False), 18, 100).before == Snapshot(10, 10)
