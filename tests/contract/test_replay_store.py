"""Replays on both stores: what is frozen, in which order it is published, and what an interrupted timekeeper does twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connectors.replay_store import (
    DEAD_LETTER,
    ERASED,
    FAILED,
    PARKED,
    REQUEST,
    WAITING,
    ReplayFilter,
    ReplaySource,
    checked_action,
)
from connectors.sink_store import LogPosition
from schemas.errors import Conflict
from schemas.ids import new_id
from schemas.states import State
from tests.harness.events import REQUESTS
from tests.harness.replay_rows import ALL, failed, mark, new, read_by_the_sink, rows, start
from tests.harness.stores import Stores, new_job, requested


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        ({"processor": "echo"}, True),
        ({"processor": "other"}, False),
        ({"states": ["FAILED", "EXPIRED"]}, True),
        ({"states": ["COMPLETED"]}, False),
        ({"error_code": "TIMEOUT_ERROR"}, True),
        ({"error_code": "OUT_OF_MEMORY"}, False),
        ({"fingerprint": "f-TIMEOUT_ERROR"}, True),
        ({"fingerprint": "f-OTHER"}, False),
        ({"model_version": "2"}, False),
        ({"case_id": "c1"}, True),
        ({"case_id": "c2"}, False),
        ({"batch_id": "b1"}, True),
        ({"batch_id": "b2"}, False),
    ],
)
def test_jobs_are_selected_by_what_is_known_of_their_current_run(
    stores: Stores, wanted: dict[str, Any], matches: bool
) -> None:
    job = failed(stores, case_id="c1", batch_id="b1")
    [*found] = rows(stores, start(stores, ReplayFilter(**wanted)))
    assert [(row.job_id, row.from_run, row.run, row.state) for row in found] == [(str(job), 0, 1, WAITING)] * matches


def test_jobs_are_selected_by_when_they_ended_and_by_their_tenant(stores: Stores) -> None:
    job = failed(stores, tenant="one")
    at = stores.view(job).decided_at
    assert at is not None
    hour = timedelta(hours=1)
    for wanted, matches in (
        (ReplayFilter(since=at), True),
        (ReplayFilter(until=at), False),
        (ReplayFilter(since=at - hour, until=at + hour), True),
        (ReplayFilter(since=at + hour), False),
    ):
        assert [group.jobs for group in stores.replays.preview(new(), wanted)] == [1] * matches
    assert start(stores, tenant="two").total == 0
    assert start(stores, tenant="one").total == 1


def test_a_row_knows_where_its_request_is_and_partitions_take_turns(stores: Stores) -> None:
    jobs = [failed(stores, offset=offset) for offset in (4, 0, 2)]
    replay = start(stores, at_most=2, selection={"status": "FAILED"}, rate=5.0, deadline_s=60.0, edit=[{"op": "test"}])
    assert (replay.state, replay.total, replay.waiting, replay.selection) == ("running", 2, 2, {"status": "FAILED"})
    assert (replay.rate, replay.deadline_s, replay.edit) == (5.0, 60.0, [{"op": "test"}])
    found = rows(stores, replay)
    assert [row.job_id for row in found] == [str(jobs[1]), str(jobs[2])]
    place = (found[0].topic, found[0].topic_id, found[0].partition, found[0].offset, found[0].processor)
    assert place == ("requests.echo", REQUESTS, 0, 0, "echo")


def test_the_preview_counts_what_would_be_frozen_by_error(stores: Stores) -> None:
    for offset, code in enumerate(["TIMEOUT_ERROR", "OUT_OF_MEMORY", "TIMEOUT_ERROR"]):
        failed(stores, code, 2 * offset)
    groups = stores.replays.preview(new(), ALL)
    assert [(one.processor, one.state, one.error_code, one.jobs, one.run_ms) for one in groups] == [
        ("echo", "FAILED", "TIMEOUT_ERROR", 2, 20.0),
        ("echo", "FAILED", "OUT_OF_MEMORY", 1, 20.0),
    ]
    assert len(stores.replays.sample(new(), ALL, 2)) == 2
    assert stores.replays.replays(10) == []


def test_a_run_number_is_given_once_and_a_job_waits_in_one_replay_only(stores: Stores) -> None:
    failed(stores)
    first = start(stores)
    [again] = rows(stores, start(stores))
    assert (again.state, again.run) == (PARKED, None)
    assert again.reason is not None
    assert first.replay_id in again.reason
    stores.replays.act(first.replay_id, "cancel")
    [third] = rows(stores, start(stores))
    assert (third.state, third.run) == (WAITING, 2)


def test_jobs_that_have_not_ended_are_parked_only_if_they_are_named(stores: Stores) -> None:
    open_job, ended_job = new_job(), failed(stores)
    stores.store(requested(open_job, 8))
    assert start(stores, ReplayFilter(states=["PENDING"])).total == 0
    replay = start(stores, ReplayFilter(job_ids=[str(open_job), str(ended_job), new_id()]))
    assert (replay.total, replay.parked) == (2, 1)
    assert [row.reason for row in rows(stores, replay, PARKED)] == ["Its run 0 has not ended."]


def test_a_job_that_was_replayed_too_often_is_parked_by_name_unless_there_is_no_limit(stores: Stores) -> None:
    failed(stores)
    for times in range(2):
        replay = start(stores, limit=2)
        mark(stores, replay, 1)
        read_by_the_sink(stores, rows(stores, replay)[0], 10 + 2 * times, State.FAILED)
    [parked] = rows(stores, start(stores, limit=2))
    assert (parked.state, parked.reason is not None and "2 times" in parked.reason) == (PARKED, True)
    replay = start(stores, limit=None)
    assert [(row.from_run, row.run) for row in rows(stores, replay)] == [(2, 3)]


def test_erased_cases_are_not_replayed(stores: Stores) -> None:
    job = failed(stores, case_id="c1")
    stores.retention.erase("default", "c1", by="me", objects=0)
    replay = start(stores, ReplayFilter(job_ids=[str(job)]))
    assert (replay.state, replay.total, replay.parked) == ("done", 1, 1)


def test_waiting_rows_of_an_erased_case_are_parked_and_the_others_go_on(stores: Stores) -> None:
    erased = failed(stores, case_id="c1")
    failed(stores, offset=2, case_id="c2")
    replay = start(stores, edit=[{"op": "test"}])
    stores.retention.erase("default", "c1", by="me", objects=0)
    [parked] = rows(stores, replay, PARKED)
    assert (parked.job_id, parked.reason) == (str(erased), ERASED)
    after = stores.replays.replay(replay.replay_id)
    assert (after.state, after.total, after.parked, after.waiting, after.edit) == (
        "running",
        2,
        1,
        1,
        [{"op": "test"}],
    )
    [work] = stores.replays.due(10)
    assert [row.job_id for row in work.rows] != [str(erased)]
    ended = mark(stores, replay, *(row.n for row in work.rows))
    assert (ended.state, ended.published, ended.parked) == ("done", 1, 1)


@pytest.mark.parametrize("paused", [False, True])
def test_a_replay_whose_last_waiting_rows_are_erased_is_done_and_loses_its_texts(stores: Stores, paused: bool) -> None:
    failed(stores, case_id="c1")
    replay = start(stores, edit=[{"op": "test"}])
    if paused:
        stores.replays.act(replay.replay_id, "pause")
    stores.retention.erase("default", "c1", by="me", objects=0)
    after = stores.replays.replay(replay.replay_id)
    assert (after.state, after.parked, after.waiting, after.edit, after.reason) == ("done", 1, 0, None, "")
    assert after.ended_at is not None
    stores.retention.erase("default", "c1", by="me", objects=0)
    assert stores.replays.replay(replay.replay_id) == after


def test_a_row_whose_job_comes_to_be_known_as_erased_is_parked_in_its_turn(stores: Stores) -> None:
    job = new_job()
    stores.retention.erase("default", "c1", by="me", objects=0)
    late = start(stores, [ReplaySource(REQUEST, str(job), 0, LogPosition(REQUESTS, 0, 0))])
    stores.store(requested(job, header={"case_id": "c1"}))
    assert stores.replays.due(10) == []
    after = stores.replays.replay(late.replay_id)
    assert (after.state, after.parked, after.waiting) == ("done", 1, 0)
    assert [(row.job_id, row.reason) for row in rows(stores, late, PARKED)] == [(str(job), ERASED)]


def test_rows_are_published_in_their_order_until_the_replay_is_done(stores: Stores) -> None:
    for offset in range(3):
        failed(stores, offset=2 * offset)
    replay = start(stores)
    [work] = stores.replays.due(2)
    assert [row.n for row in work.rows] == [1, 2]
    assert mark(stores, replay, 1, 2).state == "running"
    assert mark(stores, replay, 1, 2).published == 2
    [work] = stores.replays.due(2)
    assert [row.n for row in work.rows] == [3]
    after = mark(stores, replay, 3, state=FAILED, reason="gone")
    assert (after.state, after.published, after.failed, after.ended_at is not None) == ("done", 2, 1, True)
    assert [row.reason for row in rows(stores, replay, FAILED)] == ["gone"]
    assert stores.replays.due(2) == []


def test_a_row_that_can_not_be_read_now_is_put_off_and_the_others_go_on(stores: Stores) -> None:
    failed(stores)
    failed(stores, offset=2)
    replay = start(stores)
    mark(stores, replay, 1, state=WAITING)
    [work] = stores.replays.due(10)
    assert [row.n for row in work.rows] == [2]
    assert [(row.tries, row.state) for row in rows(stores, replay)] == [(1, WAITING), (0, WAITING)]


def test_a_rate_lets_few_rows_through_and_running_replays_share(stores: Stores) -> None:
    for offset in range(6):
        failed(stores, f"E{offset % 2}", 2 * offset)
    slow = start(stores, ReplayFilter(error_code="E0"), rate=0.001)
    start(stores, ReplayFilter(error_code="E1"))
    assert [len(work.rows) for work in stores.replays.due(4)] == [1, 2]
    mark(stores, slow, 1)
    assert [len(work.rows) for work in stores.replays.due(4)] == [3]


def test_a_replay_is_paused_resumed_and_cancelled(stores: Stores) -> None:
    failed(stores)
    store, replay = stores.replays, start(stores)
    assert checked_action(store, replay, "pause").state == "paused"
    assert store.due(10) == []
    paused = store.replay(replay.replay_id)
    assert checked_action(store, paused, "pause").state == "paused"
    assert checked_action(store, paused, "resume").state == "running"
    assert len(store.due(10)) == 1
    cancelled = checked_action(store, replay, "cancel")
    assert (cancelled.state, cancelled.waiting, cancelled.ended_at is not None) == ("cancelled", 1, True)
    assert store.due(10) == []
    with pytest.raises(Conflict):
        checked_action(store, cancelled, "resume")


def test_the_new_runs_are_counted_by_state(stores: Stores) -> None:
    for offset in range(3):
        failed(stores, offset=2 * offset)
    replay = start(stores)
    mark(stores, replay, 1, 2, 3)
    first, second, _ = rows(stores, replay)
    read_by_the_sink(stores, first, 20, State.COMPLETED)
    read_by_the_sink(stores, second, 22, State.FAILED)
    assert stores.replays.outcomes(replay.replay_id) == {"COMPLETED": 1, "FAILED": 1, "PENDING": 1}


def test_dead_letters_are_frozen_by_their_places_and_a_job_only_once(stores: Stores) -> None:
    job = str(failed(stores))
    sources = [
        ReplaySource(DEAD_LETTER, job, 0, LogPosition(REQUESTS, 1, 7)),
        ReplaySource(DEAD_LETTER, job, 0, LogPosition(REQUESTS, 1, 8)),
        ReplaySource(DEAD_LETTER, None, None, LogPosition(REQUESTS, 1, 9)),
    ]
    replay = start(stores, sources)
    found = [(row.n, row.source, row.job_id, row.run, row.offset) for row in rows(stores, replay)]
    assert found == [(1, DEAD_LETTER, job, 1, 7), (2, DEAD_LETTER, None, None, 9)]
    assert start(stores, sources, tenant="another").total == 0


def test_replays_are_listed_newest_first_and_to_their_tenant_only(stores: Stores) -> None:
    started = [start(stores, tenant=tenant).replay_id for tenant in ("one", "two", "one")]
    store = stores.replays
    [newest] = store.replays(1)
    rest = store.replays(10, (newest.created_at, newest.replay_id))
    assert [one.replay_id for one in (newest, *rest)] == started[::-1]
    assert [one.replay_id for one in store.replays(10, None, "one")] == [started[2], started[0]]
    assert store.replay(started[0], "two") is store.replay("no id") is None


def test_an_old_replay_is_pruned_once_its_runs_have_ended(stores: Stores) -> None:
    failed(stores)
    replay = start(stores)
    (row,) = rows(stores, replay)
    assert mark(stores, replay, row.n).ended_at is not None
    read_by_the_sink(stores, row, 10)
    assert stores.due.lead()
    stores.due.prune(timedelta(0), 10)
    assert stores.replays.replay(replay.replay_id) is not None
    read_by_the_sink(stores, row, 20, State.COMPLETED)
    stores.due.prune(timedelta(days=1), 10)
    assert stores.replays.replay(replay.replay_id) is not None
    stores.due.prune(timedelta(0), 10)
    assert stores.replays.replay(replay.replay_id) is None
    assert rows(stores, replay) == []


def test_the_patch_of_an_ended_replay_is_erased_with_a_case_that_it_changed(stores: Stores) -> None:
    failed(stores, case_id="c1")
    edit = [{"op": "replace", "path": "/message", "value": "Kim"}]
    replay = start(stores, ReplayFilter(case_id="c1"), edit=edit)
    (row,) = rows(stores, replay)
    assert mark(stores, replay, row.n).edit == edit
    stores.retention.erase("default", "c1", by="me", objects=0)
    found = stores.replays.replay(replay.replay_id)
    assert (found.edit, found.reason) == (None, "")
