"""Replays, on the twins: a new run from the old request, once, whatever dies."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from connectors.replay_store import FAILED, WAITING, Chosen, NewReplay, Replay, ReplayFilter, ReplayJob, ReplayWork
from connectors.sink_store import LogPosition
from schemas.envelope import header_of
from schemas.ids import new_id
from schemas.records import JobHeader
from schemas.states import Lane
from streams import wiring
from streams.testing import Flow
from streams.timekeeper.replays import BATCH, GROUP_S, SPREAD_S, Replays
from streams.timekeeper.requests import ReadRequests

FAILS = {"message": "x", "fail": "INVALID_INPUT"}
BACKEND = "http://backend.example/done"


def start(flow: Flow, chosen: Chosen | None = None, **more: Any) -> Replay:
    with wiring.replay_store(flow.settings) as store:
        return store.start(NewReplay(new_id(), "me", "why not", **more), chosen or ReplayFilter(states=["FAILED"]))


def view(flow: Flow, replay: Replay) -> Replay:
    with wiring.replay_store(flow.settings) as store:
        found = store.replay(replay.replay_id)
    assert found is not None
    return found


def rows(flow: Flow, replay: Replay) -> list[ReplayJob]:
    with wiring.replay_store(flow.settings) as store:
        return store.rows(replay.replay_id, None, 1000)


def replayed(flow: Flow) -> list[Any]:
    return flow.records(flow.settings.topics.requests("echo", Lane.BULK))


def headers(flow: Flow) -> list[JobHeader]:
    codec = wiring.codec(flow.settings)
    return [header_of(codec.decode(message.value() or b"")) for message in replayed(flow)]


def test_a_failed_job_gets_a_new_run_with_its_provenance(sluice_flow: Any) -> None:
    flow: Flow = sluice_flow("echo")
    job = flow.submit("echo", FAILS, callback_url=BACKEND, idempotency_key="k", labels={"a": "b"})
    flow.settle()
    before = flow.job(job)
    replay = start(flow)
    flow.settle()
    after, first = flow.job(job), flow.job(job, 0)
    assert (after.run, after.mode, after.lane, after.state, after.attempt) == (1, "replay", "bulk", "FAILED", 1)
    assert (first.state, first.decided_at) == ("FAILED", before.decided_at)
    [header] = headers(flow)
    assert before.request is not None
    source = header.source_coordinates
    assert source is not None
    assert (source.topic, source.partition, source.offset) == (
        before.request.topic,
        before.request.partition,
        before.request.offset,
    )
    assert (header.replay_id, header.idempotency_key, header.labels) == (replay.replay_id, None, {"a": "b"})
    kafka_headers: dict[str, Any] = dict(replayed(flow)[0].headers() or ())
    assert (kafka_headers["sluice-replay"], kafka_headers["sluice-run"]) == (replay.replay_id.encode(), b"1")
    assert view(flow, replay).state == "done"
    assert [callback.state for callback in flow.callbacks] == ["FAILED", "FAILED"]


def test_a_timekeeper_that_dies_before_it_marks_a_row_makes_one_run_all_the_same(
    sluice_flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow: Flow = sluice_flow("echo")
    job = flow.submit("echo", FAILS, callback_url=BACKEND)
    flow.settle()
    replay = start(flow)
    flow.settle()
    [row] = flow.database.replays[replay.replay_id].rows
    row.state = WAITING  # the mark was never stored
    flow.database.replays[replay.replay_id].state = "running"
    flow.settle()
    assert len(replayed(flow)) == 2
    assert (flow.job(job).run, len(flow.outcomes("echo")), len(flow.callbacks)) == (1, 2, 2)


def test_what_was_said_of_time_and_callbacks_holds_for_the_new_run(sluice_flow: Any) -> None:
    flow: Flow = sluice_flow("echo")
    jobs = [flow.submit("echo", FAILS, callback_url=BACKEND) for _ in range(2)]
    flow.settle()
    start(flow, ReplayFilter(job_ids=[jobs[0]]), callbacks="none")
    start(flow, ReplayFilter(job_ids=[jobs[1]]), callbacks="http://other.example/x", deadline_s=60.0)
    flow.settle(worker=False)
    first, second = sorted(headers(flow), key=lambda header: header.job_id)
    assert (first.callback_url, first.deadline) == (None, None)
    assert second.callback_url == "http://other.example/x"
    flow.advance(61)
    flow.settle(worker=False)
    assert (flow.job(jobs[0]).state, flow.job(jobs[1]).state) == ("PENDING", "EXPIRED")
    flow.settle()
    assert [callback.url for callback in flow.callbacks] == [BACKEND, BACKEND, "http://other.example/x"]


def test_callbacks_of_one_replay_do_not_hold_for_the_next(sluice_flow: Any) -> None:
    flow: Flow = sluice_flow("echo")
    job = flow.submit("echo", FAILS, callback_url=BACKEND)
    flow.settle()
    for callbacks in ("none", "http://other.example/x", "usual"):
        start(flow, ReplayFilter(job_ids=[job]), callbacks=callbacks)
        flow.settle()
    assert [callback.url for callback in flow.callbacks] == [BACKEND, "http://other.example/x", BACKEND]


def test_a_request_that_left_the_log_fails_its_row_with_the_reason_and_the_rest_goes_on(sluice_flow: Any) -> None:
    flow: Flow = sluice_flow("echo")
    jobs = [flow.submit("echo", FAILS) for _ in range(3)]
    flow.settle()
    run = flow.database.runs[bytes.fromhex(jobs[1].replace("-", "")), 0]
    assert run.position is not None
    run.position = LogPosition(run.position.topic_id, run.position.partition, 1000)
    replay = start(flow)
    flow.settle()
    assert [flow.job(job).run for job in jobs] == [1, 0, 1]
    after = view(flow, replay)
    assert (after.state, after.published, after.failed) == ("done", 2, 1)
    assert [row.reason for row in rows(flow, replay) if row.state == FAILED] == ["Its request is no longer in the log."]


def test_an_edited_input_runs_and_a_patch_that_does_not_fit_fails_its_row(sluice_flow: Any) -> None:
    flow: Flow = sluice_flow("echo")
    job = flow.submit("echo", FAILS)
    flow.settle()
    wrong = start(flow, edit=[{"op": "remove", "path": "/nothing"}])
    flow.settle()
    [row] = rows(flow, wrong)
    assert (row.state, row.reason) == (FAILED, "The edit does not fit its input: JsonPatchPathNotFound.")
    start(
        flow,
        edit=[{"op": "replace", "path": "/fail", "value": None}, {"op": "replace", "path": "/message", "value": "y"}],
    )
    flow.settle()
    assert (flow.job(job).run, flow.job(job).state, flow.job(job).output) == (
        2,
        "COMPLETED",
        {"message": "y", "length": 1},
    )
    start(flow, ReplayFilter(job_ids=[job]), edit=[{"op": "replace", "path": "/message", "value": 7}])
    flow.settle()
    assert flow.job(job).run == 2


@pytest.mark.parametrize(
    ("rate", "count", "pauses"),
    [
        (100.0, 5, [0.01] * 4),
        (100.0, 20, [0.04] * 4),
        (100.0, 48, [GROUP_S] * 4),
        (0.5, 1, []),
        (10_000.0, 400, [0.008] * 4),
        (None, 20, []),
    ],
)
def test_the_rows_of_a_turn_are_published_in_groups_by_the_rate_and_no_longer_than_other_duties_may_wait(
    rate: float | None, count: int, pauses: list[float]
) -> None:
    slept: list[float] = []
    one_turn(rate, count, slept)
    assert slept == pytest.approx(pauses)
    assert sum(slept) <= SPREAD_S


@pytest.mark.parametrize(("count", "more"), [(1, False), (BATCH - 1, False), (BATCH, True)])
def test_a_turn_that_is_held_back_by_the_rate_does_not_ask_for_another_at_once(count: int, more: bool) -> None:
    assert one_turn(100_000.0, count, []) is more


def one_turn(rate: float | None, count: int, pauses: list[float]) -> bool:
    """Run a turn over `count` rows of which no record is left; return its answer."""
    now = datetime.now(UTC)
    replay = Replay(
        *(new_id(), "running", "replay", None, None, {}, "me", "", "usual", None, None),
        *(rate, count, 0, 0, 0, now, None),
    )
    place = (None, None, None, None)
    rows = [ReplayJob(n, "request", new_id(), "echo", 0, 1, *place, WAITING, None, 0, None) for n in range(count)]
    context: Any = SimpleNamespace(
        replays=SimpleNamespace(
            due=lambda limit: [ReplayWork(replay, rows, now)],
            mark=lambda marked: None,
            payload=lambda job, run: None,
        ),
        reader=SimpleNamespace(read=lambda places: ReadRequests()),
        publisher=SimpleNamespace(flush=dict),
    )
    return Replays(context, pauses.append).run_once()
