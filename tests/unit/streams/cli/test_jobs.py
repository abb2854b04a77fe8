"""`sluice jobs`: filters, counts with an example, pages, and lists for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest

from schemas.errors import ExitCode
from streams.cli import jobs as jobs_command
from streams.cli.run import run
from streams.testing import Flow


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flow]:
    with Flow("echo") as made:
        monkeypatch.setattr("streams.settings.load_settings", lambda: made.settings)
        for n in range(3):
            made.submit("echo", {"message": "x", "fail": "INVALID_INPUT"}, external_id=f"=bad-{n}", batch_id="b")
        for n in range(4):
            made.submit("echo", {"message": "x"}, external_id=f"good-{n}", case_id="c")
        made.settle()
        yield made


def printed(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert run(["jobs", *argv]) == ExitCode.OK
    return capsys.readouterr().out


def test_jobs_are_found_by_each_condition(flow: Flow, capsys: pytest.CaptureFixture[str]) -> None:
    def count(*argv: str) -> int:
        return len(json.loads(printed(capsys, *argv, "--json")))

    assert count("--error", "INVALID_INPUT") == 3
    assert count("--batch", "b", "--state", "FAILED", "--since", "-5m") == 3
    assert count("--case", "c", "--external-id", "good-2") == 1
    assert count("--until", "yesterday") == 0
    assert count("--model-version", "1", "--tenant", "nowhere") == 0


def test_errors_are_counted_with_an_example(flow: Flow, capsys: pytest.CaptureFixture[str]) -> None:
    [group] = json.loads(printed(capsys, "--by", "error", "--json"))
    assert (group["jobs"], group["error_code"]) == (3, "INVALID_INPUT")
    assert flow.job(group["example"]).state == "FAILED"
    assert len(json.loads(printed(capsys, "--fingerprint", group["fingerprint"], "--json"))) == 3
    assert run(["jobs", "--by", "error"]) == ExitCode.OK
    shown = capsys.readouterr()
    assert "MESSAGE OF ONE" in shown.out
    assert "listed: 3 jobs in 1 group" in shown.err
    assert json.loads(printed(capsys, "--counts", "--json")) == {"COMPLETED": 4, "FAILED": 3}
    assert json.loads(printed(capsys, "--counts", "--batch", "b", "--json")) == {"FAILED": 3}


def test_a_failed_job_shows_its_fingerprint_and_the_command_that_finds_its_kind(
    flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    [group] = json.loads(printed(capsys, "--by", "error", "--json"))
    command = f"sluice jobs --fingerprint {group['fingerprint']}"
    for shown in ("job", "explain"):
        assert run([shown, group["example"]]) == ExitCode.OK
        assert command in capsys.readouterr().out


def test_a_list_is_read_page_by_page_and_goes_on_after_a_job(
    flow: Flow, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_command, "_PAGE", 2)
    ids = [json.loads(line)["job_id"] for line in printed(capsys, "--limit", "0", "--jsonl").splitlines()]
    assert len(set(ids)) == 7
    rest = [each["job_id"] for each in json.loads(printed(capsys, "--after", ids[3], "--json"))]
    assert rest == ids[4:]
    assert run(["jobs", "--limit", "3"]) == ExitCode.OK
    assert f"--after {ids[2]}" in capsys.readouterr().err
    assert run(["jobs", "--after", "019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10"]) == ExitCode.NOT_FOUND


def test_csv_has_a_line_for_each_job_and_no_formula(flow: Flow, capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows = csv.reader(io.StringIO(printed(capsys, "--batch", "b", "--csv")))
    assert sorted(row[head.index("external_id")] for row in rows) == ["'=bad-0", "'=bad-1", "'=bad-2"]
    assert run(["jobs", "--csv", "--json"]) == ExitCode.USAGE
