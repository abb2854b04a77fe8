"""Shows a comparison: tables, the lines of the acceptance, JSON and a plot."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.compare.figures import Ratio, Spread, Visit, ratios, spread
from bench.compare.peers import PEERS

if TYPE_CHECKING:
    from bench.compare.run import PeerComparison

#: The columns of the table and of the JSON: name, and the figure of a visit.
COLUMNS: Mapping[str, Callable[[Visit], float]] = {
    "jobs/s": lambda visit: visit.jobs_per_s,
    "idle p50 ms": lambda visit: visit.idle.p50_ms,
    "idle p95 ms": lambda visit: visit.idle.p95_ms,
    "idle p99 ms": lambda visit: visit.idle.p99_ms,
    "open p50 ms": lambda visit: visit.open_loop.p50_ms,
    "open p95 ms": lambda visit: visit.open_loop.p95_ms,
    "open p99 ms": lambda visit: visit.open_loop.p99_ms,
    "CPU ms a job": lambda visit: visit.machine_cpu_ms,
}


def by_peer(visits: Sequence[Visit]) -> dict[str, list[Visit]]:
    """Return the visits of each system, in the order in which they were first visited."""
    found: dict[str, list[Visit]] = {}
    for visit in visits:
        found.setdefault(visit.peer, []).append(visit)
    return found


def summary(visits: Sequence[Visit]) -> dict[str, dict[str, Spread]]:
    """Return each column's median and spread over the rounds, by system."""
    return {
        peer: {name: spread([figure(visit) for visit in of]) for name, figure in COLUMNS.items()}
        for peer, of in by_peer(visits).items()
    }


def median_by_process(visits: Sequence[Visit], figure: Callable[[Visit], Mapping[str, float]]) -> dict[str, float]:
    """Return the median over the rounds of a figure that each process has."""
    names = dict.fromkeys(name for visit in visits for name in figure(visit))
    return {name: median(figure(visit).get(name, 0.0) for visit in visits) for name in names}


def number(value: float) -> str:
    """Return a number with three digits that count: 12,345, 12.3, 1.23, 0.123."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def cell(value: Spread) -> str:
    """Return a median and its range: `820 (801–845)`; the median alone if the rounds agree."""
    if value.low == value.high:
        return number(value.median)
    return f"{number(value.median)} ({number(value.low)}–{number(value.high)})"


def main_rows(visits: Sequence[Visit]) -> list[list[str]]:
    """Return a line for each system: its title and the columns."""
    return [[PEERS[peer].title, *(cell(value) for value in row.values())] for peer, row in summary(visits).items()]


def process_rows(visits: Sequence[Visit]) -> list[list[str]]:
    """Return a line for each process of each system: CPU in µs a job, and memory in MB."""
    rows = []
    for peer, of in by_peer(visits).items():
        cpu = median_by_process(of, lambda visit: visit.cpu_us)
        rss = median_by_process(of, lambda visit: visit.rss_mb)
        rows += [[PEERS[peer].title, name, number(cpu[name]), number(rss.get(name, 0.0))] for name in cpu]
    return rows


def ratio_lines(found: Sequence[Ratio]) -> list[str]:
    """Return the acceptance, a line each: what it is, the value with its range, the bar, pass or miss."""
    lines = []
    for ratio in found:
        value = "not measured" if ratio.spread is None else cell(ratio.spread)
        result = {None: "-", True: "pass", False: "MISS"}[ratio.passed]
        lines.append(f"{ratio.text:<38} {value:<24} bar {ratio.bar:<6} {result}")
    return lines


def incomplete(visits: Sequence[Visit]) -> list[str]:
    """Return a line for each visit in which rows or callbacks were missing."""
    return [
        f"{PEERS[visit.peer].title}, round {visit.round}: {visit.jobs} jobs, {visit.rows} rows, {visit.callbacks} callbacks; "
        f"{visit.idle.lost + visit.open_loop.lost} lost while idle and in the open loop"
        for visit in visits
        if not visit.complete
    ]


def text(comparison: PeerComparison) -> str:
    """Return all tables, then the acceptance, then what was not measured."""
    acceptance = ratio_lines(ratios(comparison.visits))
    parts = [
        _table(["MEDIAN (RANGE OF THE ROUNDS)", *COLUMNS], main_rows(comparison.visits)),
        _table(["SYSTEM", "PROCESS", "CPU µs a job", "RSS MB"], process_rows(comparison.visits)),
        "\n".join(
            [
                "Acceptance: sluice ÷ peer in the same round, median of the rounds.",
                *acceptance,
            ]
        ),
    ]
    left_out = [f"NOT MEASURED: {PEERS[peer].title}: {why}" for peer, why in comparison.missing.items()]
    wrong = [f"INCOMPLETE: {line}" for line in incomplete(comparison.visits)]
    return "\n\n".join([*parts, *(["\n".join([*wrong, *left_out])] if wrong or left_out else [])])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD)
    for position, name in enumerate(head):
        shown.add_column(name, justify="left" if position == 0 or name == "PROCESS" else "right", no_wrap=True)
    for row in rows:
        shown.add_row(*row)
    console = Console(width=200)
    with console.capture() as captured:
        console.print(shown)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def document(comparison: PeerComparison, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that was measured, as JSON can hold it."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "plan": dict(plan),
        "summary": {
            peer: {name: asdict(value) for name, value in row.items()}
            for peer, row in summary(comparison.visits).items()
        },
        "acceptance": [asdict(ratio) for ratio in ratios(comparison.visits)],
        "missing": dict(comparison.missing),
        "promises": {peer: PEERS[peer].promise for peer in by_peer(comparison.visits)},
        "visits": [asdict(visit) for visit in comparison.visits],
    }


def write(folder: Path, comparison: PeerComparison, plan: Mapping[str, Any]) -> list[Path]:
    """Write peers.json, and peers.png if matplotlib is installed; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    data, plot = folder / "peers.json", folder / "peers.png"
    data.write_text(json.dumps(document(comparison, plan), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    try:
        draw(plot, comparison.visits)
    except ImportError:
        return [data]
    return [data, plot]


def draw(path: Path, visits: Sequence[Visit]) -> None:
    """Draw three bar charts, a bar for each system with the range of its rounds. Raises ImportError without matplotlib."""
    from matplotlib.figure import Figure

    rows = summary(visits)
    titles = [PEERS[peer].title for peer in rows]
    figure = Figure(figsize=(16, 1.5 + 0.45 * len(rows)), layout="constrained")
    for axes, column in zip(figure.subplots(1, 3, sharey=True), ("jobs/s", "idle p99 ms", "CPU ms a job"), strict=True):
        found = [row[column] for row in rows.values()]
        ranges = [[each.median - each.low for each in found], [each.high - each.median for each in found]]
        colours = ["tab:blue" if peer == "sluice" else "tab:grey" for peer in rows]
        axes.barh(titles, [each.median for each in found], xerr=ranges, color=colours, capsize=3)
        axes.set_title(column)
        axes.invert_yaxis() if column == "jobs/s" else None
    figure.savefig(path, dpi=110)
