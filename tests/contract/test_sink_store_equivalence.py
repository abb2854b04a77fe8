"""Postgres and its twin in memory store the same for any events of two jobs in any batches."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from schemas.states import State
from streams.settings import Settings
from streams.sink.event import Event, Phase
from tests.harness.events import event
from tests.harness.stores import CALLBACK, Stores, new_job

pytestmark = pytest.mark.stack

#: Which job, phase, run, attempt, input, final state, and whether there is a callback.
EVENTS = st.tuples(
    st.integers(0, 1),
    st.sampled_from([Phase.REQUESTED, Phase.RETRYING, Phase.ENDED, Phase.NOTED]),
    st.integers(0, 1),
    st.integers(1, 3),
    st.sampled_from(["a", "a", "a", "b", ""]),
    st.sampled_from([State.COMPLETED, State.FAILED]),
    st.booleans(),
)


def made(jobs: tuple[UUID, UUID], offset: int, values: Any) -> Event:
    which, phase, run, attempt, input_, state, callback = values
    header = CALLBACK if callback else {}
    fields: dict[str, Any] = {"attempt": attempt, "run": run, "input_sha256": input_, "state": state, "header": header}
    return event(phase, offset, job=jobs[which], **fields)


def end_of(stores: Stores, job: UUID) -> Any:
    if stores.jobs.job(str(job)) is None:
        return None
    runs = []
    for run in (0, 1):
        view = stores.jobs.job(str(job), run)
        if view is not None:
            result = None if view.result is None else view.result.offset
            runs.append((view.state, view.attempt, view.execution, view.due_kind, view.request, result, view.error))
    now = stores.view(job)
    deliveries = [(one.destination, one.state) for one in now.deliveries]
    return now.run, now.input_sha256, now.callback_url, runs, deliveries, sorted(stores.kinds(job))


@pytest.fixture(scope="module")
def both(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stores, Stores]]:
    home: Path = tmp_path_factory.mktemp("equivalence")
    pair = tuple(
        Stores(Settings(database_url=SecretStr(address), home=home))
        for address in (database, f"memory:{uuid.uuid4().hex}")
    )
    yield pair[0], pair[1]
    for stores in pair:
        stores.close()


@settings(max_examples=60, deadline=None)
@given(batches=st.lists(st.lists(EVENTS, min_size=1, max_size=6), min_size=1, max_size=4))
def test_both_stores_decide_alike(both: tuple[Stores, Stores], batches: list[list[Any]]) -> None:
    jobs, offset = (new_job(), new_job()), 0
    for drawn in batches:
        events = [made(jobs, offset + n, values) for n, values in enumerate(drawn)]
        offset += len(events)
        real, twin = (stores.store(*events).losers for stores in both)
        assert twin == real
    for job in jobs:
        real, twin = (end_of(stores, job) for stores in both)
        assert twin == real
