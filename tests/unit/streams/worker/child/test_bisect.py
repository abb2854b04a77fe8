"""A failing batch is halved until the bad job is alone."""

from __future__ import annotations

import gc
import math
import traceback
import weakref
from collections import Counter
from collections.abc import Sequence, Set
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.errors import ErrorCode, InvalidInput, OutOfMemory, ProcessorBug
from streams.worker.child.bisect import as_out_of_memory, is_out_of_memory, run_all


class Device:
    """Counts how often each item was run; fails on the bad ones, and above `room` items by running out of memory."""

    def __init__(self, bad: Set[int] = frozenset(), room: int = 1000) -> None:
        self.bad, self.room = bad, room
        self.runs: Counter[int] = Counter()
        self.batches: list[list[int]] = []

    def run(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.runs.update(items)
        if len(items) > self.room:
            raise torch.OutOfMemoryError(f"{len(items)} do not fit")
        for item in items:
            if item in self.bad:
                raise ValueError(f"bad {item}")
        return [item * 10 for item in items]


def never(start: int, stop: int) -> None:
    raise AssertionError(f"nothing ran out of memory, but {start} to {stop} were said not to fit")


@given(st.integers(1, 70), st.sets(st.integers(0, 69)))
@example(32, {13})
@example(32, {0, 31})
@example(32, set(range(32)))
def test_the_good_ones_complete_and_each_bad_one_has_its_own_error(count: int, bad: set[int]) -> None:
    device = Device(bad)
    outcomes = run_all(device.run, range(count), never)
    assert len(outcomes) == count
    for item, outcome in enumerate(outcomes):
        assert outcome == item * 10 if item not in bad else str(outcome) == f"bad {item}"
    assert max(device.runs.values()) <= 1 + math.ceil(math.log2(count))


def test_one_bad_job_among_32_costs_the_others_at_most_five_further_runs() -> None:
    device = Device({17})
    outcomes = run_all(device.run, range(32), never)
    assert [item for item, outcome in enumerate(outcomes) if isinstance(outcome, Exception)] == [17]
    assert max(device.runs.values()) == 6
    assert len(device.batches) == 11


def test_a_good_batch_runs_once() -> None:
    device = Device()
    assert run_all(device.run, [1, 2, 3], never) == [10, 20, 30]
    assert device.batches == [[1, 2, 3]]


def test_an_empty_batch_does_not_run() -> None:
    assert run_all(Device().run, [], never) == []


def test_an_error_in_an_items_place_is_that_items_outcome() -> None:
    error = InvalidInput("bad")
    assert run_all(lambda items: [1, error], ["a", "b"], never) == [1, error]


def test_a_wrong_number_of_outcomes_fails_the_jobs_and_not_the_worker() -> None:
    outcomes = run_all(lambda items: [], [1, 2], never)
    assert [type(outcome) for outcome in outcomes] == [ProcessorBug, ProcessorBug]
    assert "0 outcomes for 1 items" in str(outcomes[0])


def test_an_error_keeps_its_traceback_but_not_the_memory_of_its_frames() -> None:
    held: list[weakref.ref[Any]] = []

    def run(items: Sequence[int]) -> list[int]:
        tensor = torch.zeros(len(items))
        held.append(weakref.ref(tensor))
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    (outcome,) = run_all(run, [1], never)
    gc.collect()
    assert [ref() for ref in held] == [None]
    assert traceback.extract_tb(outcome.__traceback__)[-1].name == "run"


@given(st.integers(1, 64), st.integers(1, 64), st.sets(st.integers(0, 63)))
def test_a_batch_that_does_not_fit_runs_in_pieces_that_do(count: int, room: int, bad: set[int]) -> None:
    device, reported = Device(bad, room), list[int]()
    outcomes = run_all(device.run, range(count), lambda start, stop: reported.append(stop - start))
    for item, outcome in enumerate(outcomes):
        assert outcome == item * 10 if item not in bad else str(outcome) == f"bad {item}"
    assert all(size > room for size in reported), "only what really did not fit is reported"
    assert max(device.runs.values()) <= 1 + math.ceil(math.log2(count))


def test_once_a_size_has_failed_the_rest_of_the_batch_is_not_tried_with_it_again() -> None:
    device, reported = Device(room=4), list[tuple[int, int]]()
    assert run_all(device.run, range(32), lambda start, stop: reported.append((start, stop))) == list(range(0, 320, 10))
    assert reported == [(0, 32), (0, 16), (0, 8)]
    assert [len(batch) for batch in device.batches] == [32, 16, 8, *[4] * 8]


def test_one_job_that_does_not_fit_is_out_of_memory() -> None:
    (outcome,) = run_all(Device(room=0).run, [1], never)
    assert isinstance(outcome, OutOfMemory)
    assert outcome.code == ErrorCode.OUT_OF_MEMORY
    assert outcome.retryable
    assert traceback.extract_tb(outcome.__traceback__)[-1].name == "run"


def more_than_there_is() -> Exception:
    """The error that torch really raises for the CPU's memory."""
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 50)
    return raised.value


class ArrayMemoryError(MemoryError):
    """Stand in for numpy's error for memory, which is private."""


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (more_than_there_is(), True),
        (MemoryError(), True),
        (ArrayMemoryError("Unable to allocate 8 TiB"), True),
        (OutOfMemory("a processor's own words"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("DefaultCPUAllocator: can't allocate memory"), False),
        (OSError(12, "Cannot allocate memory"), False),
    ],
)
def test_running_out_of_memory_is_distinguished_from_other_errors(error: Exception, is_one: bool) -> None:
    assert is_out_of_memory(error) == is_one
    assert not is_one or as_out_of_memory(error).code == ErrorCode.OUT_OF_MEMORY
