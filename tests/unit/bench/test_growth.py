"""The rows of the growth report, its tables and its limits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.growth.processor import install
from bench.growth.report import by_role, limits, markdown, role, write
from bench.growth.rows import FILE_PROCESSORS, GrowthRow, Installation, by_installation, rows
from bench.growth.run import ROOT, MeasuredRow
from bench.throughput import ThroughputReport


def measured(what: str, size: str, cpu: float, memory: float = 100.0) -> MeasuredRow:
    report = ThroughputReport(1000, 0.5, 2000.0, 0.1, 1000, 1000, 0, {"sink": cpu, "kafka": 50.0}, {"sink": memory})
    return MeasuredRow(GrowthRow(what, size, 1000, Installation()), report)


def test_full_adds_a_million_jobs_and_a_worker_for_each_of_fifty_processors() -> None:
    usual, full = ({(row.what, row.size) for row in rows(1.0, full=each)} for each in (False, True))
    assert full - usual == {("jobs", "1,000,000"), ("processors", "50, a worker for each")}
    assert usual < full


def test_a_scale_multiplies_the_jobs_of_every_row() -> None:
    assert [row.jobs for row in rows(0.1, full=True)] == [max(20, row.jobs // 10) for row in rows(1.0, full=True)]


def test_rows_of_one_installation_share_a_stack_and_fifty_processors_are_fifty() -> None:
    groups = [(installation, [row.size for row in of]) for installation, of in by_installation(rows(1.0, full=False))]
    assert groups[0][1][:3] == ["1,000", "10,000", "100,000"]
    served = [
        installation.env["SLUICE_PROCESSORS"].split(",") for installation, of in groups if "50, a worker for one" in of
    ]
    assert [len(names) for names in served] == [50]


@pytest.mark.parametrize(
    ("process", "column"),
    [
        ("sink", "sink"),
        ("sink.2", "sink"),
        ("worker-echo", "worker"),
        ("worker-echo.2 child", "child"),
        ("postgres", "postgres"),
        ("gateway", "others"),
        ("timekeeper", "others"),
    ],
)
def test_a_process_counts_in_the_column_of_its_kind(process: str, column: str) -> None:
    assert role(process) == column


def test_columns_are_sums() -> None:
    found = by_role({"sink": 40.0, "sink.2": 30.0, "worker-echo child": 5.0, "gateway": 1.0, "supervisor": 2.0})
    assert (found["sink"], found["child"], found["others"], found["kafka"]) == (70.0, 5.0, 3.0, 0.0)


def test_growth_of_cpu_and_memory_is_held_to_its_limits() -> None:
    found = {
        limit.text: limit
        for limit in limits(
            [
                measured("jobs", "10,000", 100.0),
                measured("jobs", "100,000", 100.0, 100.0),
                measured("jobs", "1,000,000", 114.0, 106.0),
                measured("processors", "1", 100.0),
                measured("processors", "50, a worker for one", 130.0),
            ]
        )
    }
    assert found["CPU a job, jobs 10,000 → 1,000,000"].value == pytest.approx(164 / 150)
    assert found["CPU a job, jobs 10,000 → 1,000,000"].passed is True
    assert found["CPU a job, processors 1 → 50, a worker for one"].passed is False
    assert found["CPU a job, processors 1 → 50, a worker for each"].passed is None
    memory = found["memory of the service that grew most, 100,000 → 1,000,000 jobs"]
    assert memory.value == pytest.approx(1.06)
    assert memory.passed is False


def test_the_report_names_rows_that_failed(tmp_path: Path) -> None:
    failed = MeasuredRow(GrowthRow("partitions", "256", 100, Installation()), None, "the broker did not start")
    every = [measured("jobs", "10,000", 100.0), failed]
    text = markdown(every)
    assert "| jobs | 10,000 | 1,000 | 2,000 | 150 | 50.0 | 0.000 | 100 |" in text
    assert "- FAILED: partitions 256: the broker did not start" in text
    assert [path.name for path in write(tmp_path / "day", every)] == ["growth.md", "growth.json"]
    stored = json.loads((tmp_path / "day" / "growth.json").read_text())
    assert [row["failed"] for row in stored["rows"]] == ["", "the broker did not start"]


def test_file_processors_count_as_installed_and_answer_with_the_size(tmp_path: Path) -> None:
    install(FILE_PROCESSORS[:2], tmp_path / "site")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}", "SLUICE_HOME": str(tmp_path / "home")}
    given = tmp_path / "given"
    given.write_bytes(b"x" * 5000)
    command = ["run-once", FILE_PROCESSORS[1], "--input", "{}", "--file", f"file={given}"]
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "streams.cli", *command], env=env, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"size": 5000}
