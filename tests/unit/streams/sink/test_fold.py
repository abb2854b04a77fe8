"""A batch of events is folded into jobs, and it does not matter where one batch ends."""

from __future__ import annotations

import itertools
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from schemas.states import State
from streams.sink.event import Event, Phase
from streams.sink.fold import SUPERSEDED, Role, fold
from streams.sink.rows import run_rows
from tests.harness.events import JOB, Model, event

OTHER = UUID("01890000-0000-7000-8000-000000000002")


def only(events: list[Event]) -> dict[str, object]:
    """The one row of one job's one run, by name."""
    [row] = run_rows(fold(events)[0], None)
    return row._asdict()


def test_a_job_that_begins_and_ends_in_one_batch_is_one_row() -> None:
    row = only([event(Phase.REQUESTED, 4), event(Phase.ENDED, 9)])
    assert (row["state"], row["status"], row["carries_job"]) == ("COMPLETED", "COMPLETED", True)
    assert (row["offset"], row["won_offset"]) == (4, 9)


def test_the_first_end_is_the_candidate_and_later_ones_are_superseded() -> None:
    [job] = fold([event(Phase.ENDED, 1), event(Phase.ENDED, 2, state=State.FAILED)])[0]
    assert job.runs[0].candidate is not None
    assert job.runs[0].candidate.position.offset == 1
    assert [(entry.kind, entry.role) for entry in job.history] == [("result", Role.MUST_WIN), (SUPERSEDED, Role.STANDS)]


def test_an_end_of_an_earlier_attempt_ends_the_run() -> None:
    row = only([event(Phase.REQUESTED, attempt=2), event(Phase.ENDED, attempt=1)])
    assert (row["state"], row["attempt"]) == ("COMPLETED", 1)


def test_a_late_request_does_not_undo_a_retry() -> None:
    row = only([event(Phase.RETRYING), event(Phase.REQUESTED, 3)])
    assert (row["state"], row["due_in_ms"], row["offset"]) == ("RETRYING", 1000, 3)


def test_the_next_attempt_follows_a_retry() -> None:
    row = only([event(Phase.RETRYING), event(Phase.REQUESTED, 3, attempt=2)])
    assert (row["state"], row["attempt"], row["due_in_ms"]) == ("PENDING", 2, None)


def test_a_retry_after_the_end_is_superseded() -> None:
    [job] = fold([event(Phase.ENDED), event(Phase.RETRYING, 1)])[0]
    assert job.history[1].kind == SUPERSEDED


def test_another_input_under_the_same_id_waits_for_the_store_to_say_which_was_first() -> None:
    other = event(Phase.ENDED, 1, input_sha256="b")
    [job], later = fold([event(Phase.REQUESTED), other])
    assert job.runs[0].candidate is None
    assert later == [other]


def test_an_event_that_could_not_be_read_fits_any_input() -> None:
    [job] = fold([event(Phase.REQUESTED, input_sha256=""), event(Phase.ENDED, 1)])[0]
    assert job.runs[0].candidate is not None
    assert job.first.header["input_sha256"] == "a"


def test_a_note_moves_nothing() -> None:
    [job] = fold([event(Phase.NOTED)])[0]
    assert job.runs == {}
    assert [entry.role for entry in job.history] == [Role.NOTED]


def test_jobs_are_sorted_so_that_two_sinks_lock_rows_in_one_order() -> None:
    assert [job.first.job_id for job in fold([event(Phase.ENDED, job=OTHER), event(Phase.ENDED)])[0]] == [
        JOB.bytes,
        OTHER.bytes,
    ]


def test_one_row_of_a_job_carries_its_part_and_the_newest_run_that_counts_is_current() -> None:
    shadow = event(Phase.ENDED, 2, run=2, header={"mode": "shadow"})
    rows = run_rows(fold([event(Phase.ENDED), event(Phase.ENDED, 1, run=1), shadow])[0], None)
    assert [row.carries_job for row in rows] == [True, False, False]
    assert {row.current_run for row in rows} == {1}


phases = st.sampled_from([Phase.REQUESTED, Phase.RETRYING, Phase.ENDED, Phase.ENDED, Phase.NOTED])
lives = st.lists(
    st.tuples(phases, st.integers(1, 3), st.integers(0, 1), st.sampled_from([JOB, OTHER]), st.sampled_from("aab")),
    max_size=14,
).map(
    lambda drawn: [
        event(phase, offset, attempt=attempt, run=run, job=job, input_sha256=sha)
        for offset, (phase, attempt, run, job, sha) in enumerate(drawn)
    ]
)


@given(lives, st.lists(st.integers(0, 14), max_size=5))
def test_it_makes_no_difference_where_a_batch_ends(events: list[Event], cuts: list[int]) -> None:
    whole, parts = Model(), Model()
    whole.store(events)
    bounds = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    for begin, end in itertools.pairwise(bounds):
        parts.store(events[begin:end])
    assert (parts.inputs, parts.runs, parts.outcomes) == (whole.inputs, whole.runs, whole.outcomes)
    # Of retries, history may say in one case that they moved their run and in the other that something newer did.
    ends = {event.position for event in events if event.phase is Phase.ENDED}
    assert {place: parts.history[place] for place in ends} == {place: whole.history[place] for place in ends}


@given(lives, st.data())
def test_reading_events_again_changes_nothing(events: list[Event], data: st.DataObject) -> None:
    once, again = Model(), Model()
    once.store(events)
    again.store(events)
    states, outcomes = dict(again.runs), dict(again.outcomes)
    again.store(data.draw(st.lists(st.sampled_from(events))) if events else [])
    assert (again.runs, again.outcomes) == (states, outcomes) == (once.runs, once.outcomes)


@given(lives.flatmap(lambda events: st.tuples(st.just(events), st.permutations(events))))
def test_in_any_order_a_run_ends_if_one_of_its_events_ends_it(drawn: tuple[list[Event], list[Event]]) -> None:
    events = [one._replace(header={**one.header, "input_sha256": "a"}) for one in drawn[0]]
    shuffled = [one._replace(header={**one.header, "input_sha256": "a"}) for one in drawn[1]]
    straight, mixed = Model(), Model()
    straight.store(events)
    mixed.store(shuffled)
    assert straight.runs.keys() == mixed.runs.keys()
    assert straight.outcomes.keys() == mixed.outcomes.keys()
    unfinished = straight.runs.keys() - straight.outcomes.keys()
    assert {key: straight.runs[key] for key in unfinished} == {key: mixed.runs[key] for key in unfinished}
