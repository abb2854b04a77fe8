"""`sluice plan` as it is typed: text, JSON, and what it says to numbers that can't be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.errors import ExitCode
from streams.cli.run import run


def planned(capsys: pytest.CaptureFixture[str], words: str) -> tuple[int, str, str]:
    status = run(["plan", *words.split()])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_plan_is_printed_with_the_source_of_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = planned(
        capsys, "--jobs-per-day 100000000 --service-ms 5 --batch 32 --batch-ms 20 --keep-days 30"
    )
    assert status == ExitCode.OK
    assert out.startswith("peak 3,472.2 jobs/s (mean 1,157.4)")
    assert "700,000,000 rows a day" in out
    assert "in batches of" in out
    assert err.startswith("figures: bench/results/")


def test_json_has_the_plan_and_its_figures_and_null_for_a_wait_without_end(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = planned(capsys, "--jobs-per-s 50 --service-ms 20 --devices 1 --json")
    found = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert status == ExitCode.OK
    assert found["overloaded"]
    assert found["wait"]["p99_s"] is None
    assert found["figures"]["cpu_us"]["sink"] > 0


def test_an_overload_is_said_with_what_to_add(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = planned(capsys, "--jobs-per-s 50 --service-ms 20 --devices 1")
    assert "OVERLOAD: devices at 301%: add 4 devices" in out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", "--jobs-per-s or --jobs-per-day"),
        ("--jobs-per-s 1 --jobs-per-day 5", "one of them"),
        ("--jobs-per-s nan", "--jobs-per-s"),
        ("--jobs-per-s 0", "--jobs-per-s"),
        ("--jobs-per-s 5 --target 1", "--target"),
        ("--jobs-per-s 5 --service-ms 10 --batch 4 --batch-ms 5", "--batch-ms between 10 and 40"),
        ("--jobs-per-s 5 --batch-ms 5", "--batch-ms needs --batch"),
        ("--jobs-per-s 5 --batch 4 --shared", "--shared has no batches"),
        ("--jobs-per-s 5 --figures none.toml", "none.toml"),
    ],
)
def test_numbers_that_can_not_be_are_refused(capsys: pytest.CaptureFixture[str], words: str, text: str) -> None:
    status, out, err = planned(capsys, words)
    assert (status, out) == (ExitCode.USAGE, "")
    assert text in err


def test_a_measured_run_shows_how_far_off_the_prediction_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    used = {"client": 74, "kafka": 164, "worker-echo": 53, "worker-echo child": 63, "sink": 238, "postgres": 94}
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"jobs_per_s": 2000.0, "cpu_us": used}))
    _, out, _ = planned(capsys, f"--check {path} --cores 1")
    assert out == "predicted 1,458 jobs/s (1 cores, 1 sink), measured 2,000: -27%\n"
