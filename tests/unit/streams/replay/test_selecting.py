"""Jobs selected from the log, and what a dry run says of a selection, on the twins."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from connectors.replay_store import REQUEST, NewReplay, ReplayFilter, ReplaySource
from schemas.errors import UsageError
from schemas.ids import new_id
from schemas.states import Lane
from streams import wiring
from streams.admin.log_range import Span
from streams.replay.dry_run import DryRun, dry_run
from streams.replay.from_log import holds_requests, jobs_in_log
from streams.replay.selection import checked_filter, described, ids_in
from streams.testing import Flow

FAILED = ReplayFilter(states=["FAILED"])


def new(**more: Any) -> NewReplay:
    return NewReplay(new_id(), "me", "", **more)


def counted(flow: Flow, chosen: Any = FAILED, **more: Any) -> DryRun:
    with wiring.replay_store(flow.settings) as store:
        return dry_run(flow.settings, store, new(**more), chosen)


def test_a_dry_run_counts_exactly_reads_the_requests_and_changes_nothing(sluice_flow: Any) -> None:
    flow: Flow = sluice_flow("echo")
    for code, count in (("INVALID_INPUT", 3), ("MODEL_NOT_FOUND", 2)):
        for _ in range(count):
            flow.submit("echo", {"message": "x", "fail": code})
    flow.submit("echo", {"message": "x"})
    flow.settle()
    before = flow.log.appended
    found = counted(flow)
    assert [(group.error_code, group.jobs) for group in found.groups] == [("INVALID_INPUT", 3), ("MODEL_NOT_FOUND", 2)]
    assert (found.jobs, found.parked, found.checked, found.refused) == (5, 0, 5, [])
    assert 5 * 100 < found.bytes < 5 * 600
    assert flow.log.appended == before


def test_a_dry_run_names_the_requests_that_would_fail(sluice_flow: Any) -> None:
    flow: Flow = sluice_flow("echo")
    flow.submit("echo", {"message": "x", "fail": "INVALID_INPUT"})
    flow.settle()
    [refused] = counted(flow, edit=[{"op": "replace", "path": "/message", "value": None}]).refused
    assert (refused.jobs, "does not fit" in refused.reason) == (1, True)


def test_jobs_are_selected_by_offsets_of_a_partition_and_only_those_run_again(sluice_flow: Any) -> None:
    flow: Flow = sluice_flow("echo", partitions=1)
    jobs = [flow.submit("echo", {"message": str(n)}) for n in range(5)]
    flow.settle()
    topic = flow.settings.topics.requests("echo")
    found = jobs_in_log(flow.settings, topic, Span(partition=0, first=1, last=3))
    assert (found.job_ids, found.nameless, found.gone) == (jobs[1:4], 0, None)
    assert jobs_in_log(flow.settings, flow.settings.topics.results("echo"), Span()).job_ids == jobs
    with wiring.replay_store(flow.settings) as store:
        store.start(new(), found.sources)
    flow.settle()
    assert [flow.job(job).run for job in jobs] == [0, 1, 1, 1, 0]


def test_requests_of_shadow_runs_are_left_out_and_never_make_a_run_that_counts(sluice_flow: Any) -> None:
    flow: Flow = sluice_flow("echo", partitions=1)
    job = flow.submit("echo", {"message": "x"})
    flow.settle()
    with wiring.replay_store(flow.settings) as store:
        store.start(new(mode="shadow", to_version="9.9"), ReplayFilter(job_ids=[job]))
        flow.settle(worker=False)
        topic = flow.settings.topics.requests("echo", Lane.BULK)
        found = jobs_in_log(flow.settings, topic, Span())
        assert (found.sources, found.shadows) == ([], 1)
        place = flow.database.runs[UUID(job).bytes, 1].position
        assert place is not None
        chosen = [ReplaySource(REQUEST, job, 1, place)]
        [refused] = dry_run(flow.settings, store, new(), chosen).refused
        replay = store.start(new(), chosen)
        flow.settle(worker=False)
        [row] = store.rows(replay.replay_id, None, 10)
    assert (row.state, row.reason) == ("failed", refused.reason)
    assert "shadow run" in refused.reason
    assert (flow.job(job).run, flow.job(job).state, flow.job(job, 1).mode) == (0, "COMPLETED", "shadow")


def test_topics_say_whether_they_hold_requests(sluice_flow: Any) -> None:
    settings = sluice_flow("echo").settings
    assert holds_requests(settings, "requests.echo")
    assert holds_requests(settings, "requests.echo.bulk")
    assert not holds_requests(settings, "results.echo")
    with pytest.raises(UsageError, match="name no jobs"):
        holds_requests(settings, "control")


def test_a_selection_needs_a_condition_and_means_failures_unless_it_names_jobs() -> None:
    with pytest.raises(UsageError, match="Which jobs"):
        checked_filter(ReplayFilter())
    with pytest.raises(UsageError, match="no job id"):
        checked_filter(ReplayFilter(job_ids=["x"]))
    assert checked_filter(ReplayFilter(processor="echo")).states == ("FAILED",)
    assert checked_filter(ReplayFilter(job_ids=[new_id()])).states is None


def test_what_is_kept_of_a_selection_names_no_case() -> None:
    said = described(ReplayFilter(processor="echo", case_id="Doe, Jane", job_ids=[new_id(), new_id()]))
    assert said == {"processor": "echo", "case_id": "sha256:fbf2e1b5d6e9", "job_ids": {"count": 2}} | {
        "case_id": said["case_id"]
    }
    assert "Jane" not in str(said)


def test_a_file_of_ids_may_have_empty_lines_and_comments() -> None:
    assert ids_in(["a\n", "\n", "# why\n", " b \n", "a\n"]) == ["a", "b"]
