"""Measured figures: from the built-in file, from another one, and from what the benchmark prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.errors import UsageError
from streams.plan.figures import FIGURES, PROCESSES, read_figures, read_run

RUN = {
    "jobs_per_s": 3000.0,
    "cpu_us": {
        **{"client": 70, "kafka": 150, "registry": 3, "postgres": 90, "timekeeper": 5, "receiver": 25, "gateway": 1},
        **{"worker-echo": 40, "worker-echo.2": 10, "worker-echo child": 50, "worker-echo.2 child": 15},
        **{"sink": 130, "sink.2": 110},
    },
}


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_run_of_the_benchmark_replaces_the_cpu_times_alone(tmp_path: Path) -> None:
    found, usual = read_figures(written(tmp_path, "run.json", json.dumps(RUN))), read_figures()
    assert found.cpu_us == {"client": 70, "kafka": 150, "worker": 50, "child": 65, "sink": 240, "postgres": 90}
    assert (found.record_bytes, found.sink_jobs_per_s, found.rows) == (
        usual.record_bytes,
        usual.sink_jobs_per_s,
        usual.rows,
    )


def test_a_run_counts_its_sinks(tmp_path: Path) -> None:
    assert read_run(written(tmp_path, "run.json", json.dumps(RUN))).sinks == 2


def test_another_file_of_figures_is_read(tmp_path: Path) -> None:
    text = FIGURES.read_text().replace("sink = 238", "sink = 60")
    assert read_figures(written(tmp_path, "mine.toml", text)).cpu_us["sink"] == 60
    assert tuple(read_figures().cpu_us) == PROCESSES


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", "{}"),
        ("run.json", "[1]"),
        ("run.json", "not JSON"),
        ("run.json", json.dumps({**RUN, "cpu_us": {"sink": 1}})),
        ("run.json", json.dumps({**RUN, "jobs_per_s": 0})),
        ("mine.toml", "source = 1"),
        ("mine.toml", FIGURES.read_text().replace("sink = 238", "sink = 0")),
        ("mine.toml", FIGURES.read_text().replace("sink = 238", "sink = nan")),
    ],
)
def test_figures_that_can_not_be_are_refused_with_their_file(tmp_path: Path, name: str, text: str) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(UsageError) as refused:
        read_figures(path)
    assert str(path) in refused.value.message


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_figures(tmp_path / "none.toml")
