"""Tables, the lines of the acceptance, JSON and the plot of a comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.compare.figures import Spread
from bench.compare.report import cell, document, number, process_rows, text, write
from bench.compare.run import PeerComparison
from tests.unit.bench.visits import visit

VISITS = [
    visit("sluice", 1, 9_000, cpu_us={"sink": 60.0, "client": 20.0}, rss_mb={"sink": 100.0, "client": 70.0}),
    visit("celery", 1, 800),
    visit("sluice", 2, 11_000, cpu_us={"sink": 80.0}, rss_mb={"sink": 110.0}),
    visit("celery", 2, 790),
]


@pytest.mark.parametrize(
    ("value", "shown"), [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.1234, "0.123")]
)
def test_a_number_has_three_digits_that_count(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_cell_has_the_range_unless_the_rounds_agree() -> None:
    assert cell(Spread(820, 801, 845)) == "820 (801–845)"
    assert cell(Spread(820, 820, 820)) == "820"


def test_every_process_has_a_line_with_its_cpu_and_memory() -> None:
    assert process_rows(VISITS) == [
        ["sluice", "sink", "70.0", "105"],
        ["sluice", "client", "10.0", "35.0"],
        ["Celery + Redis, prefork 2", "worker", "100", "50.0"],
    ]


def test_the_text_says_which_bars_are_reached_and_what_was_not_measured() -> None:
    shown = text(PeerComparison(VISITS, {"awa": "it can't be imported"}))
    lines = {line.split("  ")[0]: line for line in shown.splitlines()}
    assert lines["throughput ÷ Celery, prefork 2"].endswith("12.6 (11.2–13.9)         bar ≥ 12   pass")
    assert lines["throughput ÷ awa-pg"].endswith("not measured             bar > 1    -")
    assert "NOT MEASURED: awa-pg, aiohttp: it can't be imported" in lines
    assert "INCOMPLETE" not in shown


def test_the_text_says_so_if_rows_are_missing() -> None:
    shown = text(PeerComparison([visit("celery", 1, 800, rows=998)], {}))
    assert "INCOMPLETE: Celery + Redis, prefork 2, round 1: 1000 jobs, 998 rows, 1000 callbacks; 0 lost" in shown


def test_json_and_plot_are_written(tmp_path: Path) -> None:
    comparison = PeerComparison(VISITS, {})
    written = write(tmp_path / "2026-11-29", comparison, {"rounds": 2})
    assert [path.name for path in written] == ["peers.json", "peers.png"]
    assert written[1].read_bytes().startswith(b"\x89PNG")
    stored = json.loads(written[0].read_text())
    assert stored["summary"]["sluice"]["jobs/s"] == {"median": 10_000, "low": 9_000, "high": 11_000}
    assert stored["visits"] == json.loads(json.dumps(document(comparison, {})))["visits"]
    assert stored["plan"] == {"rounds": 2}
