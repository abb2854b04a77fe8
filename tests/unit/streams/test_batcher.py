"""When a batch is closed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processors.policy import Batch
from streams.batcher import Batcher


def batcher(count: int, *, max_size: int = 4, max_wait_ms: float = 100, at: float = 0.0) -> Batcher[int]:
    made: Batcher[int] = Batcher(Batch(max_size, max_wait_ms))
    for item in range(count):
        made.add(item, at)
    return made


def test_an_idle_device_gets_at_once_what_is_there() -> None:
    assert batcher(2).take(0.0, idle=True) == [0, 1]


def test_a_busy_device_waits_for_a_full_batch() -> None:
    assert batcher(3).take(0.0, idle=False) == []
    assert batcher(4).take(0.0, idle=False) == [0, 1, 2, 3]


def test_a_busy_device_waits_no_longer_than_the_policy_says() -> None:
    made = batcher(1, at=10.0)
    assert made.due_at() == 10.1
    assert made.take(10.09, idle=False) == []
    assert made.take(10.1, idle=False) == [0]
    assert made.due_at() is None


def test_nothing_waiting_makes_no_batch() -> None:
    assert batcher(0).take(99.0, idle=True) == []


@given(st.integers(0, 40), st.integers(1, 7))
def test_batches_keep_the_order_lose_nothing_and_are_never_too_large(count: int, max_size: int) -> None:
    made = batcher(count, max_size=max_size)
    batches = []
    while batch := made.take(0.0, idle=True):
        batches.append(batch)
    assert [item for batch in batches for item in batch] == list(range(count))
    assert all(len(batch) <= max_size for batch in batches)


def test_after_running_out_of_memory_batches_stay_small() -> None:
    made = batcher(4)
    made.lower(2)
    made.lower(3)
    assert made.take(0.0, idle=True) == [0, 1]
    made.lower(0)
    assert made.ceiling == 1


def test_unwanted_items_are_forgotten() -> None:
    made = batcher(4)
    made.drop(lambda item: item % 2 == 0)
    assert made.take(0.0, idle=True) == [1, 3]
    assert len(made) == 0
