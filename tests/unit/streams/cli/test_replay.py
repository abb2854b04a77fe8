"""`sluice replay` on the twins."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.errors import Conflict, ExitCode, NotFound, UsageError
from streams.cli import replays
from streams.cli.replay import How, replay
from streams.cli.replay_selection import Which
from streams.cli.run import run
from streams.replay.start import ReplayOptions, new_replay
from streams.testing import Flow


@pytest.fixture
def flow(sluice_flow: Any, monkeypatch: pytest.MonkeyPatch) -> Flow:
    made: Flow = sluice_flow("echo", partitions=1)
    monkeypatch.setattr("streams.settings.load_settings", lambda: made.settings)
    for code in ("INVALID_INPUT", "INVALID_INPUT", "MODEL_NOT_FOUND"):
        made.submit("echo", {"message": "x", "fail": code})
    made.submit("echo", {"message": "x"})
    made.settle()
    return made


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def start(capsys: pytest.CaptureFixture[str], which: Which, how: How | None = None) -> Any:
    assert replay(which=which, how=how, detach=True, json=True) == ExitCode.OK
    return printed(capsys)


def test_one_command_finds_each_kind_of_failure_and_the_dry_run_counts_it(
    flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    for which, count in (
        (Which(error="INVALID_INPUT"), 2),
        (Which(error="MODEL_NOT_FOUND"), 1),
        (Which(processor="echo"), 3),
        (Which(status=("COMPLETED",)), 1),
        (Which(topic="requests.echo", partition=0, offsets="1-2"), 2),
        (Which(topic="results.echo", error="MODEL_NOT_FOUND"), 1),
    ):
        assert replay(which=which, dry_run=True, json=True) == ExitCode.OK
        assert printed(capsys)["jobs"] == count
    assert replay(which=Which(error="INVALID_INPUT"), dry_run=True) == ExitCode.OK
    assert "2 jobs would run, 0 would fail, 0 parked" in capsys.readouterr().out


def test_a_replay_is_watched_listed_shown_paused_and_cancelled(
    flow: Flow, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    patch = tmp_path / "patch.json"
    patch.write_text('[{"op": "replace", "path": "/fail", "value": null}]')
    started = start(capsys, Which(error="INVALID_INPUT"), How(reason="mended", edit=patch))
    id_ = started["replay_id"]
    assert (started["state"], started["total"], started["reason"]) == ("running", 2, "mended")
    assert replays.pause(id_, json=True) == 0
    assert printed(capsys)["state"] == "paused"
    flow.settle()
    assert replays.resume(id_, json=True) == 0
    assert printed(capsys)["published"] == 0
    flow.settle()
    flow.advance(1.0)  # at 100 jobs a second the second one is due later
    flow.settle()
    assert replays.show(id_, follow_=True, json=True) == 0
    shown = printed(capsys)
    assert (shown["state"], shown["outcomes"], shown["not_published"]) == ("done", {"COMPLETED": 2}, [])
    assert replays.list_(json=True) == 0
    assert [one["replay_id"] for one in printed(capsys)] == [id_]
    with pytest.raises(Conflict, match="The replay is done") as refused:
        replays.resume(id_)
    assert "Nothing of it is left to publish" in (refused.value.next_step or "")
    with pytest.raises(NotFound):
        replays.show("019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10")


def test_a_dry_run_says_first_how_many_would_run_and_fail_and_that_a_patch_was_applied(
    flow: Flow, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    patch = tmp_path / "patch.json"
    for text, first, read in (
        (
            '[{"op": "remove", "path": "/message"}]',
            "0 jobs would run, 1 would fail, 0 parked",
            "of 1 request read, 0 decode",
        ),
        ('[{"op": "remove", "path": "/fail"}]', "1 job would run, 0 would fail, 0 parked", "1 decode, take the patch,"),
    ):
        patch.write_text(text)
        which = Which(error="MODEL_NOT_FOUND")
        assert replay(which=which, how=How(edit=patch), dry_run=True) == ExitCode.OK
        shown = capsys.readouterr().out
        assert shown.splitlines()[0] == first
        assert read in shown


def test_an_empty_selection_starts_nothing_and_names_the_condition_to_look_at(flow: Flow) -> None:
    for which, how, step in (
        (Which(error="INVALID_INPUT", until=flow.now - timedelta(days=2)), How(), "2 without --until."),
        (Which(processor="echo", error="TIMEOUT_ERROR"), How(), "3 without --error."),
        (Which(error="INVALID_INPUT", status=("COMPLETED",)), How(), "2 without --status; 1 without --error."),
        (Which(error="INVALID_INPUT"), How(max=0), "2 without --max."),
        (Which(error="INVALID_INPUT", tenant="other"), How(), "2 without --tenant."),
        (Which(case="none", error="TIMEOUT_ERROR"), How(), "`sluice jobs` lists jobs"),
    ):
        with pytest.raises(NotFound) as refused:
            replay(which=which, how=how)
        assert step in (refused.value.next_step or "")
    assert refused.value.exit_code == ExitCode.NOT_FOUND
    assert not flow.database.replays


def test_ctrl_c_ends_the_watching_and_says_how_to_watch_or_cancel_the_replay(
    flow: Flow, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    # Only in the command: background threads sleep as well.
    monkeypatch.setattr("streams.cli.replays.time", SimpleNamespace(sleep=interrupted, monotonic=time.monotonic))
    with pytest.raises(KeyboardInterrupt):
        replay(which=Which(error="INVALID_INPUT"))
    said = capsys.readouterr().err
    assert "goes on without this command" in said
    assert "sluice replay cancel" in said
    [running] = flow.database.replays.values()
    assert running.state == "running"


@pytest.mark.parametrize("offsets", ["x", "5-3", "-4", "1-2-3"])
def test_a_range_that_is_none_is_refused(flow: Flow, offsets: str) -> None:
    with pytest.raises(UsageError, match="no range of offsets"):
        replay(which=Which(topic="requests.echo", partition=0, offsets=offsets), dry_run=True)


def test_a_patch_that_is_none_is_refused(flow: Flow, tmp_path: Path) -> None:
    file = tmp_path / "patch.json"
    for text in ("{}", "no json"):
        file.write_text(text)
        with pytest.raises(UsageError):
            replay(which=Which(error="INVALID_INPUT"), how=How(edit=file))


@pytest.mark.parametrize("rate", ["0.0009", "10001", "nan", "1e-300"])
def test_a_rate_has_bounds_on_the_command_line_and_below_it(flow: Flow, rate: str) -> None:
    for argv in (["replay", "--processor", "echo"], ["dlq", "redrive", "--since", "1h"]):
        assert run([*argv, "--rate", rate, "--dry-run"]) == ExitCode.USAGE
    with pytest.raises(UsageError, match=r"between 0\.001 and 10,000"):
        new_replay(flow.settings, {}, ReplayOptions("me", rate=float(rate)))


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_outside_the_calendar_is_refused_as_usage(flow: Flow, time: str) -> None:
    for command in ("replay", "audit"):
        assert run([command, "--since", time]) == ExitCode.USAGE
