"""The pure part of an explanation: whatever is known or missing, it has a headline and a next step."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.views import JobView
from schemas.records import Coordinates
from schemas.states import State
from streams.cli.explain import as_text
from streams.explain.explain import explain
from streams.explain.log_place import place_of
from streams.explain.snapshot import JobSnapshot, RecordReading
from streams.worker.kafka_source.offset_metadata import encode
from streams.worker.kafka_source.offsets import OffsetSpan, Snapshot

TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
st.register_type_strategy(datetime, TIMES)
VIEWS = st.builds(
    JobView,
    state=st.sampled_from([state.value for state in State]),
    due_kind=st.sampled_from([None, "retry", "deadline", "not_before"]),
    output=st.none(),
    labels=st.just({}),
    refs=st.just([]),
)
GIVEN = ("view", "header")
INFERRED = {each.name: ... for each in fields(JobSnapshot) if each.name not in GIVEN}
SNAPSHOTS = st.builds(JobSnapshot, **INFERRED, view=st.none() | VIEWS)
FEW = settings(max_examples=40)


@FEW
@given(SNAPSHOTS, st.booleans())
def test_every_snapshot_has_a_headline_a_next_step_and_a_text(snapshot: JobSnapshot, operator: bool) -> None:
    found = explain(snapshot, operator=operator)
    assert found.headline
    assert found.next
    assert found.steps
    assert found.situation == found.reasons[0].code
    assert found.headline in as_text(found)


@FEW
@given(SNAPSHOTS)
def test_the_owner_of_a_job_learns_no_place_no_worker_and_no_command(snapshot: JobSnapshot) -> None:
    found = explain(snapshot, operator=False)
    assert {event.where for event in found.events} <= {None}
    assert {step.command for step in found.steps} == {None}


def test_a_parameter_of_a_snapshot_that_is_missing_needs_no_value() -> None:
    """Everything but the id and the time has a default, so that a collector that gives up anywhere has a snapshot."""
    bare = JobSnapshot("0198c0de-0000-7000-8000-000000000001", datetime(2026, 1, 1, tzinfo=UTC))
    assert explain(bare).situation == "no_such_job"
    assert len(fields(JobSnapshot)) > 20


# ── the group's place ──


def place(offset: int, committed: int | None, spans: tuple[OffsetSpan, ...], end: int, *, is_open: bool = True) -> Any:
    metadata = None if committed is None else encode(Snapshot(committed, end, spans), "id", is_open=is_open)
    return place_of(Coordinates("requests.echo", 0, offset), committed, metadata, 0, 100)


def test_records_that_are_done_beyond_the_committed_offset_are_not_ahead() -> None:
    spans = (OffsetSpan(10, 12, 0, True), OffsetSpan(20, 21, 1, False))
    assert place(15, 10, spans, 30).reading is RecordReading.FINISHED
    assert place(11, 10, spans, 30).reading is RecordReading.TAKEN
    behind = place(35, 10, spans, 30)
    assert (behind.reading, behind.ahead, behind.in_flight) == (RecordReading.UNREAD, 6, 2)
    again = place(20, 10, spans, 30)
    assert (again.reading, again.crashes, again.ahead) == (RecordReading.UNREAD, 1, 0)
    assert place(11, 10, spans, 30, is_open=False).reading is RecordReading.UNREAD


def test_a_group_without_an_offset_is_not_one_that_has_done_everything() -> None:
    none = place(5, None, (), 0)
    assert (none.reading, none.ahead, none.committed) == (RecordReading.UNREAD, 5, None)
