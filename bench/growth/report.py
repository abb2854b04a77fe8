"""Shows the growth: a table in Markdown, JSON, and the lines of the acceptance."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.compare.report import number
from bench.growth.run import MeasuredRow

#: The columns of processes, and how the names of those that are counted in each begin. All others are in "others".
ROLES = ("kafka", "postgres", "sink", "worker", "child", "client", "receiver", "others")


def role(process: str) -> str:
    """Return the column of a process: `child` for `worker-echo.2 child`, `sink` for `sink.2`."""
    if process.endswith(" child"):
        return "child"
    kind = process.partition(".")[0].partition("-")[0]
    return kind if kind in ROLES else "others"


def by_role(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the sums of processes' figures by column."""
    found = dict.fromkeys(ROLES, 0.0)
    for process, value in figures.items():
        found[role(process)] += value
    return found


def cpu_us(measured: MeasuredRow) -> float:
    """Return the CPU time a job of all processes, in microseconds. Raises ValueError for a row that failed."""
    if measured.report is None:
        raise ValueError(f"{measured.row.what} {measured.row.size} has no figures")
    return sum(measured.report.cpu_us.values())


@dataclass(frozen=True, slots=True)
class GrowthLimit:
    """A line of the acceptance: `value` may be at most `most`. None: its rows were not measured."""

    text: str
    value: float | None
    most: float

    @property
    def passed(self) -> bool | None:
        return None if self.value is None else self.value <= self.most


def limits(measured: Sequence[MeasuredRow]) -> list[GrowthLimit]:
    """Return how the growth stands to what it may be. The largest row of memory growth is the service that grew most."""
    rows = {(each.row.what, each.row.size): each for each in measured if each.report is not None}
    found = []
    for what, small, large in (
        ("jobs", "10,000", "1,000,000"),
        ("processors", "1", "50, a worker for one"),
        ("processors", "1", "50, a worker for each"),
    ):
        before, after = rows.get((what, small)), rows.get((what, large))
        ratio = cpu_us(after) / cpu_us(before) if before and after else None
        found.append(GrowthLimit(f"CPU a job, {what} {small} → {large}", ratio, 1.1))
    before, after = rows.get(("jobs", "100,000")), rows.get(("jobs", "1,000,000"))
    return [
        *found,
        GrowthLimit("memory of the service that grew most, 100,000 → 1,000,000 jobs", _growth(before, after), 1.05),
    ]


def _growth(before: MeasuredRow | None, after: MeasuredRow | None) -> float | None:
    """Return the largest ratio of a service's memory. Servers and the benchmark's own processes do not count."""
    if before is None or after is None or before.report is None or after.report is None:
        return None
    own = [name for name in before.report.rss_mb if role(name) in ("sink", "worker", "child", "others")]
    return max(after.report.rss_mb[name] / before.report.rss_mb[name] for name in own if name in after.report.rss_mb)


def markdown(measured: Sequence[MeasuredRow]) -> str:
    """Return both tables and the limits as Markdown."""
    head = ["what grows", "to", "jobs", "jobs/s", "CPU µs a job", *ROLES]
    lines = [
        "CPU time in microseconds a job, of all processes and by process:",
        "",
        *_table(head, map(_cpu_row, measured)),
    ]
    head = ["what grows", "to", *ROLES]
    lines += [
        "",
        "Resident memory in megabytes at the end:",
        "",
        *_table(head, map(_memory_row, measured)),
        "",
        "Limits:",
        "",
    ]
    for limit in limits(measured):
        value = "not measured" if limit.value is None else f"{limit.value:.3f}"
        result = {None: "-", True: "pass", False: "MISS"}[limit.passed]
        lines.append(f"- {limit.text}: {value}, at most {limit.most:g}: {result}")
    lines += [f"- FAILED: {each.row.what} {each.row.size}: {each.failed}" for each in measured if each.failed]
    return "\n".join(lines)


def _cpu_row(each: MeasuredRow) -> list[str]:
    if each.report is None:
        return [each.row.what, each.row.size, "failed"]
    parts = [number(value) for value in by_role(each.report.cpu_us).values()]
    return [
        each.row.what,
        each.row.size,
        f"{each.report.jobs:,}",
        number(each.report.jobs_per_s),
        number(cpu_us(each)),
        *parts,
    ]


def _memory_row(each: MeasuredRow) -> list[str]:
    if each.report is None:
        return [each.row.what, each.row.size, "failed"]
    return [each.row.what, each.row.size, *(number(value) for value in by_role(each.report.rss_mb).values())]


def _table(head: Sequence[str], rows: Any) -> list[str]:
    lines = [head, ["---"] * len(head), *([*row, *[""] * (len(head) - len(row))] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def document(measured: Sequence[MeasuredRow]) -> dict[str, Any]:
    """Return everything that was measured, as JSON can hold it."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "rows": [asdict(each) for each in measured],
        "limits": [{**asdict(limit), "passed": limit.passed} for limit in limits(measured)],
    }


def write(folder: Path, measured: Sequence[MeasuredRow]) -> list[Path]:
    """Write growth.md and growth.json; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    text, data = folder / "growth.md", folder / "growth.json"
    text.write_text(f"# Growth, {datetime.now(UTC):%Y-%m-%d}\n\n{markdown(measured)}\n", encoding="utf-8")
    data.write_text(json.dumps(document(measured), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [text, data]
