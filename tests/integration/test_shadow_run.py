"""A shadow run on a real stack: workers, sink, timekeeper and commands, each a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import ExitCode
from streams.admin import topics
from streams.settings import Settings
from tests.harness.command_line import CommandLine
from tests.harness.processors.killer import KILLER, installed
from tests.harness.services import running

pytestmark = pytest.mark.stack


def test_another_version_does_old_jobs_again_and_the_report_compares_them(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = installed(tmp_path / "site", "First", "tests.harness.processors.several", next="Second")
    monkeypatch.setenv("PYTHONPATH", site)
    topics.apply(settings, [KILLER])
    both = settings.model_copy(update={"rollout": "killer=1,2:0"})
    sluice = CommandLine(both)
    with running(both, ["worker", "killer"], ["sink"], ["timekeeper"]):
        lines = '{"message": "a"}\n{"message": "b"}\n'
        submitted = sluice("submit", "killer", "--input", "-", "--wait", "--timeout", "60", stdin=lines)
        assert submitted.returncode == ExitCode.OK, submitted.stderr
        refused = sluice("replay", "--processor", "killer", "--to-version", "3")
        assert (refused.returncode, "served: 1, 2." in refused.stderr) == (ExitCode.USAGE, True), refused.stderr
        replay = sluice.json("replay", "--processor", "killer", "--to-version", "2", "--wait")
        assert replay["outcomes"] == {"COMPLETED": 2}
        report = sluice.json("replay", "report", replay["replay_id"])
        jobs = sluice.json("jobs")
    assert report["complete"]
    fields = {field["path"]: field for case in report["cases"] for field in case["fields"]}
    assert (fields["message"]["kind"], fields["message"]["equal"]) == ("text", False)
    assert {case["before"]["model_version"] for case in report["cases"]} == {"1"}
    assert {case["after"]["model_version"] for case in report["cases"]} == {"2"}
    assert [job["run"] for job in jobs] == [0, 0]
