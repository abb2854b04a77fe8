"""A failing batch is halved until the bad job stands alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ErrorCode, InvalidInput, OutOfMemory, ProcessorBug
from streams.worker.bisect import run_all


def fails_on(bad: set[int]) -> Any:
    def run(items: Sequence[int]) -> list[int]:
        if bad & set(items):
            raise ValueError("one of these")
        return [item * 10 for item in items]

    return run


def never(size: int) -> None:
    raise AssertionError(f"nothing ran out of memory, but {size} was said to be safe")


@given(st.integers(1, 40), st.sets(st.integers(0, 39)))
def test_the_good_ones_complete_and_each_bad_one_has_its_own_error(count: int, bad: set[int]) -> None:
    outcomes = run_all(fails_on(bad), range(count), never)
    assert len(outcomes) == count
    for item, outcome in enumerate(outcomes):
        assert isinstance(outcome, ValueError) if item in bad else outcome == item * 10


def test_a_good_batch_runs_once() -> None:
    calls = []

    def run(items: Sequence[int]) -> Sequence[int]:
        calls.append(len(items))
        return items

    assert run_all(run, [1, 2, 3], never) == [1, 2, 3]
    assert calls == [3]


def test_an_error_in_an_items_place_is_that_items_outcome() -> None:
    error = InvalidInput("bad")
    assert run_all(lambda items: [1, error], ["a", "b"], never) == [1, error]


def test_a_processor_that_loses_count_fails_its_jobs_not_the_worker() -> None:
    outcomes = run_all(lambda items: [], [1, 2], never)
    assert [type(outcome) for outcome in outcomes] == [ProcessorBug, ProcessorBug]
    assert "0 outcomes for 1 items" in str(outcomes[0])


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


def test_running_out_of_memory_halves_the_batch_and_says_what_is_safe() -> None:
    safe: list[int] = []

    def run(items: Sequence[int]) -> Sequence[int]:
        if len(items) > 2:
            raise OutOfMemoryError
        return items

    assert run_all(run, list(range(8)), safe.append) == list(range(8))
    assert min(safe) == 2


def test_one_job_that_does_not_fit_is_out_of_memory() -> None:
    def run(items: Sequence[int]) -> Sequence[int]:
        raise OutOfMemoryError

    (outcome,) = run_all(run, [1], never)
    assert isinstance(outcome, OutOfMemory)
    assert outcome.code == ErrorCode.OUT_OF_MEMORY
    assert outcome.retryable
