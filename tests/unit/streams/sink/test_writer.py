"""A row that the store can't hold is found in its batch, and its job is not lost with it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import pytest

from connectors.sink_store import OffsetRow, RunRow, SinkStore, Stored, Unstorable
from schemas.errors import SluiceError
from schemas.states import State
from streams.settings import Settings
from streams.sink.dead_letters import DeadLetters
from streams.sink.event import Event, Phase, TerminalResult
from streams.sink.fold import fold
from streams.sink.patience import Patience
from streams.sink.rows import LONGEST_KEY, run_rows
from streams.sink.writer import BatchWriter
from tests.harness.events import AT, JOB, event

OTHER = UUID("01890000-0000-7000-8000-000000000002")
PATIENCE = Patience(Settings())
NAIVE = datetime(2026, 1, 1)
STEP = OffsetRow("g", b"t" * 16, 0, 1, 0, 2, 0)


class Store:
    """Holds rows unless one has an external id that says so; knows no naive time, like the one on Postgres."""

    def __init__(self) -> None:
        self.rows: list[RunRow] = []
        self.offsets: list[OffsetRow] = []

    def store(self, runs: Sequence[RunRow], history: Any, offsets: Sequence[OffsetRow], *_: Any) -> Stored:
        for row in runs:
            if row.external_id == "poison" or row.error_message == "poison":
                raise Unstorable("no room")
            assert row.created_at - AT is not None  # a TypeError for a naive time
        self.rows += runs
        self.offsets = [row for row in offsets if row.next_offset != row.expected] or self.offsets
        return Stored(frozenset(), AT)


class Letters:
    def __init__(self) -> None:
        self.kinds: list[tuple[int | None, str]] = []

    def put(self, message: Any, error: SluiceError) -> None:
        self.kinds.append((message.offset(), str(error.code)))

    def settle(self) -> None: ...


def write(*events: Event) -> tuple[Store, Letters, Stored]:
    store, letters = Store(), Letters()
    writer = BatchWriter(cast(SinkStore, store), cast(DeadLetters, letters), threading.Event(), PATIENCE)
    return store, letters, writer.write(fold(events)[0], [STEP], None)


POISON = {"external_id": "poison", "batch_id": "b", "labels": {"a": "b"}, "callback_url": "http://h/cb"}


def test_a_request_that_can_not_be_stored_is_stored_without_what_its_job_does_not_need() -> None:
    store, letters, stored = write(event(Phase.REQUESTED, 1, header=POISON), event(Phase.REQUESTED, 2, job=OTHER))
    bare, other = sorted(store.rows)
    assert (bare.job_id, bare.state, bare.external_id, bare.batch_id, bare.labels) == (
        JOB.bytes,
        State.PENDING,
        None,
        None,
        None,
    )
    assert bare.callback_url == "http://h/cb"
    assert other.job_id == OTHER.bytes
    assert (letters.kinds, store.offsets, stored.losers) == ([], [STEP], frozenset())


def test_a_result_that_can_not_be_stored_is_dead_lettered_and_does_not_win() -> None:
    store, letters, stored = write(
        event(Phase.REQUESTED, 1), event(Phase.ENDED, 2, header=POISON | {"external_id": None})
    )
    assert [row.state for row in store.rows] == [State.COMPLETED]
    assert not letters.kinds
    poison = event(Phase.ENDED, 2, header=POISON)
    store, letters, stored = write(poison)
    assert (store.rows, letters.kinds, store.offsets) == ([], [(2, "INTERNAL")], [STEP])
    assert stored.losers == {(JOB.bytes, 0)}


def test_its_dead_letter_fails_the_job_with_its_code_and_its_callback() -> None:
    dead = event(Phase.ENDED, 3, header=POISON)._replace(
        kind="dead_letter",
        terminal=TerminalResult(State.FAILED, {"code": "INTERNAL", "message": "m" * 9000, "odd": NAIVE}),
    )
    store, letters, stored = write(dead)
    [row] = store.rows
    assert (row.state, row.error_code, row.callback_url, row.external_id) == (
        State.FAILED,
        "INTERNAL",
        "http://h/cb",
        None,
    )
    assert row.delivery_id is not None
    assert (letters.kinds, stored.losers) == ([], frozenset())


@pytest.mark.parametrize("created_at", [NAIVE, None, "yesterday"])
def test_what_makes_no_row_at_all_does_not_end_the_sink(created_at: Any) -> None:
    good, bad = event(Phase.REQUESTED, 1), event(Phase.REQUESTED, 2, job=OTHER, header={"created_at": created_at})
    store, letters, _ = write(good, bad)
    assert [row.job_id for row in store.rows] == [JOB.bytes]
    assert (letters.kinds, store.offsets) == ([(2, "INTERNAL")], [STEP])


def test_an_error_that_is_no_records_fault_ends_the_writer() -> None:
    class Broken(Store):
        def store(self, runs: Any, history: Any, offsets: Any, *_: Any) -> Stored:
            raise TypeError("whatever is given")

    writer = BatchWriter(cast(SinkStore, Broken()), cast(DeadLetters, Letters()), threading.Event(), PATIENCE)
    with pytest.raises(TypeError):
        writer.write([], [STEP], None)


@pytest.mark.parametrize(("length", "kept"), [(LONGEST_KEY, True), (LONGEST_KEY + 1, False)])
def test_a_batch_id_that_the_index_has_no_room_for_is_left_out(length: int, kept: bool) -> None:
    [row] = run_rows(fold([event(Phase.REQUESTED, header={"batch_id": "b" * length})])[0], None)
    assert (row.batch_id is not None) is kept
