"""Results of the bulk lane wait a moment, so that live results meet few commits; nothing of them is lost."""

from __future__ import annotations

from contextlib import closing
from typing import Any
from uuid import UUID

import pytest

from connectors.memory import MemorySinkStore
from schemas.records import JobHeader
from schemas.states import Lane
from streams.settings import Settings
from streams.sink import event_buffer
from streams.sink.suspects import Suspects
from tests.harness.sink_kit import job, open_sink, outcomes, states, step_until_read, write_results


@pytest.fixture(autouse=True)
def held_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time passes: what is stored is stored for another reason."""
    monkeypatch.setattr(event_buffer.EventBuffer.__init__, "__defaults__", (3600.0, 3600.0, 3600.0))


def bulk(count: int) -> list[JobHeader]:
    return [job(lane=Lane.BULK.value) for _ in range(count)]


def test_bulk_results_wait_and_live_ones_do_not(settings: Settings) -> None:
    with closing(open_sink(settings)) as sink:
        write_results(settings, bulk(3))
        step_until_read(sink)
        assert states(settings) == {}
        write_results(settings, [job()])
        step_until_read(sink)
        assert states(settings) == {"COMPLETED": 4}, "those that waited came along with it"


def test_only_some_bulk_results_come_along_with_a_live_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.sink.batching.ALONG", 2)
    with closing(open_sink(settings)) as sink:
        write_results(settings, bulk(5))
        step_until_read(sink)
        write_results(settings, [job()])
        step_until_read(sink)
        assert states(settings) == {"COMPLETED": 3}


def test_a_sink_that_dies_while_results_wait_leaves_them_to_the_next(settings: Settings) -> None:
    """Its committed offsets stop before them, also where later ones of the partition were stored."""
    sink = open_sink(settings)
    write_results(settings, bulk(3), partition=0)
    step_until_read(sink)
    write_results(settings, [*bulk(20), job()], partition=0)
    step_until_read(sink)
    assert 1 < states(settings)["COMPLETED"] < 24
    consumer: Any = sink._consumer
    consumer.die()
    with closing(open_sink(settings)) as other:
        step_until_read(other)
        other.settle()
        assert states(settings) == {"COMPLETED": 24}
        assert len(set(outcomes(settings))) == 24


def test_a_sink_that_leaves_stores_what_waits(settings: Settings) -> None:
    with closing(open_sink(settings)) as sink:
        write_results(settings, bulk(3))
        step_until_read(sink)
        sink.settle()
        assert states(settings) == {"COMPLETED": 3}


def test_a_result_that_waited_and_makes_a_step_fail_is_suspected_with_those_that_came_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    suspects, (bad,) = Suspects(), bulk(1)
    store = MemorySinkStore.store

    def refuse(self: MemorySinkStore, runs: Any, *more: Any) -> Any:
        if any(UUID(bytes=row.job_id) == UUID(bad.job_id) and row.status == "COMPLETED" for row in runs):
            raise RuntimeError("nothing foresees this")
        return store(self, runs, *more)

    monkeypatch.setattr(MemorySinkStore, "store", refuse)
    with closing(open_sink(settings, suspects=suspects)) as sink:
        write_results(settings, [bad], partition=0)
        step_until_read(sink)
        write_results(settings, [job()], partition=1)
        with pytest.raises(RuntimeError):
            step_until_read(sink)
    suspects.failed()
    assert {partition for _, partition, _ in suspects._suspected} == {0, 1}
