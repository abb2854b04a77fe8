"""`sluice lag` and `sluice topics`: what is there, and how far each group is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from schemas.errors import ExitCode
from streams.cli.output import age
from streams.cli.run import run
from streams.testing import Flow


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flow]:
    with Flow("echo") as made:
        monkeypatch.setattr("streams.settings.load_settings", lambda: made.settings)
        yield made


def test_a_line_is_for_a_topic_a_group_or_a_partition(flow: Flow, capsys: pytest.CaptureFixture[str]) -> None:
    flow.submit("echo", {"message": "x"})
    flow.settle(worker=False)
    assert run(["lag", "--group", "workers.echo"]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["GROUP", "TOPIC", "RECORDS", "OLDEST"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["workers.echo", "requests.echo", "no"],
        ["workers.echo", "requests.echo.bulk", "no"],
    ]
    assert run(["lag", "--by", "group", "--json"]) == ExitCode.OK
    groups = {each["group"]: each["records"] for each in json.loads(capsys.readouterr().out)}
    assert (groups["workers.echo"], groups["sink"]) == (None, 0)
    assert run(["lag", "--by", "partition", "--topic", "requests.echo", "--group", "workers.echo"]) == ExitCode.OK
    printed = capsys.readouterr().out
    assert "requests.echo[0]" in printed
    assert run(["lag", "--group", "nothing"]) == ExitCode.NOT_FOUND


def test_topics_are_listed_and_shown(flow: Flow, capsys: pytest.CaptureFixture[str]) -> None:
    flow.submit("echo", {"message": "x"})
    flow.settle()
    assert run(["topics", "show", "echo", "--requests"]) == ExitCode.OK
    printed = capsys.readouterr().out
    assert "kept        14 d" in printed
    assert "the newest records have" in printed
    run(["topics", "list", "--json"])
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert (listed["requests.echo"]["records"], listed["outcomes.echo"]["compacted"]) == (1, True)
    assert run(["topics", "show", "nowhere"]) == ExitCode.NOT_FOUND


@pytest.mark.parametrize(("seconds", "text"), [(None, "-"), (0.44, "0.4 s"), (30.0, "30 s"), (600.0, "10 min")])
def test_an_age_is_printed_in_a_unit_that_fits(seconds: float | None, text: str) -> None:
    assert age(seconds) == text
