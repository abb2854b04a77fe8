"""docs/scaling.md: its commands print what it shows, and its figures are those of the benchmark's report."""

from __future__ import annotations

import re
from statistics import mean

import pytest

from streams.cli.run import run
from streams.plan.figures import read_figures
from streams.plan.plan import predict
from tests.harness.source_tree import ROOT

DOCUMENT = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```console\n\$ sluice (.*?)\n(.*?)```", DOCUMENT, re.DOTALL)
#: The report's row of the state that the figures are of: two runs, on two cores, with one sink.
REPORT = (ROOT / "bench" / "results" / "2026-11-29.md").read_text(encoding="utf-8")
MEASURED = [
    [float(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", cell)]
    for cell in re.findall(r"^\| as it is \|(.*)\|$", REPORT, re.MULTILINE)[0].split("|")
]
COLUMNS = ("kafka", "postgres", "sink", "worker", "child", "client")


@pytest.mark.parametrize(("words", "printed"), SHOWN, ids=[words for words, _ in SHOWN])
def test_a_command_prints_what_the_document_shows(words: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words.split()) == 0
    assert capsys.readouterr().out == printed


def test_the_figures_are_the_means_of_the_report() -> None:
    assert len(SHOWN) == 2
    for name, runs in zip(COLUMNS, MEASURED[1:], strict=False):
        assert read_figures().cpu_us[name] == pytest.approx(mean(runs), abs=1)


def test_the_prediction_for_the_reports_machine_is_as_far_off_as_the_document_says() -> None:
    measured, figures = mean(MEASURED[0]), read_figures()
    by_sinks, by_cores = predict(figures, cores=2, sinks=1), 2e6 / figures.total_us
    assert f"| {by_sinks:,.0f} | {measured:,.0f} | {by_sinks / measured - 1:+.0%} |".replace("%", " %") in DOCUMENT
    assert f"| {by_cores:,.0f} | {measured:,.0f} | {by_cores / measured - 1:+.0%} |".replace("%", " %") in DOCUMENT
