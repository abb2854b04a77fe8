"""A commit whose answer never came: who won is asked by place in the log, so that no outcome loses to itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connectors.sink_store import Fenced, Unstorable
from schemas.errors import Unreachable
from streams import wiring
from streams.settings import Settings
from tests.harness.sink_kit import (
    HookedStore,
    job,
    open_sink,
    outcomes,
    step_and_settle,
    write_results,
)

OTHER_INPUT = "b" * 64


class Reconciler:
    """Counts how often the sink asks for deliveries that it did not hand off."""

    notifier_id = b"n" * 16

    def __init__(self) -> None:
        self.reconciled = 0

    def submit(self, *_: Any) -> None: ...

    def reconcile(self) -> None:
        self.reconciled += 1


def loses_one_answer(when: Callable[[tuple[Any, ...]], bool]) -> Callable[[str, tuple[Any, ...]], None]:
    lost: list[bool] = []

    def after(name: str, args: tuple[Any, ...]) -> None:
        if name == "store" and not lost and when(args):
            lost.append(True)
            raise Unreachable("The connection was lost after the commit.")

    return after


def stands_still(args: tuple[Any, ...]) -> bool:
    runs, _, offsets, *_ = args
    return bool(runs) and all(row.expected == row.next_offset for row in offsets)


def moves(args: tuple[Any, ...]) -> bool:
    return not stands_still(args) and bool(args[0])


def test_the_first_part_of_a_batch_is_published_although_its_answer_was_lost(settings: Settings) -> None:
    """The batch has two parts, because two records have the same job id and another input."""
    twice = job()
    jobs = [*(job() for _ in range(5)), twice, job(job_id=twice.job_id, input_sha256=OTHER_INPUT)]
    values = write_results(settings, jobs)
    handoff = Reconciler()
    store = HookedStore(wiring.sink_store(settings), after=loses_one_answer(stands_still))
    sink = open_sink(settings, store, handoff)
    step_and_settle(sink)
    sink.close()
    assert sorted(outcomes(settings)) == sorted(values[:-1])
    assert handoff.reconciled == 1


def test_the_first_half_of_a_bisected_batch_is_published_although_its_answer_was_lost(settings: Settings) -> None:
    jobs = [job() for _ in range(4)]
    values = write_results(settings, jobs, partition=0)
    refused: list[bool] = []

    def before(name: str, args: tuple[Any, ...]) -> None:
        if name == "store" and len(args[0]) == len(jobs) and not refused:
            refused.append(True)
            raise Unstorable("A row of the whole batch.")

    store = HookedStore(wiring.sink_store(settings), before, loses_one_answer(stands_still))
    sink = open_sink(settings, store)
    step_and_settle(sink)
    sink.close()
    assert refused
    assert sorted(outcomes(settings)) == sorted(values)


def test_after_a_lost_answer_that_moved_offsets_the_next_session_publishes_what_was_stored(settings: Settings) -> None:
    values = write_results(settings, [job() for _ in range(4)])
    store = HookedStore(wiring.sink_store(settings), after=loses_one_answer(moves))
    sink = open_sink(settings, store)
    with pytest.raises(Fenced):
        step_and_settle(sink)
    sink.close()
    assert outcomes(settings) == []
    sink = open_sink(settings)
    step_and_settle(sink)
    sink.close()
    assert sorted(outcomes(settings)) == sorted(values)
