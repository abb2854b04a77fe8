"""The report of a run: a table, a picture of the throughput with the faults marked, and JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.checker.evidence import Evidence
from tests.harness.checker.findings import COLUMNS, Findings
from tests.harness.checker.recovery import LONGEST_S, SHARE, WINDOW_S, Recovery, normal_rate, per_second, percentile

_BARS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Report:
    """`errors`: what went wrong with the run itself. `exits`: services that ended by themselves, with their status."""

    seed: int
    again: str
    evidence: Evidence
    findings: Findings
    recovered: list[Recovery]
    exits: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def recovery_s(self) -> float:
        return percentile(self.recovered)

    @property
    def passed(self) -> bool:
        return self.findings.clean and not self.errors and self.recovery_s < LONGEST_S

    def __str__(self) -> str:
        jobs = Counter((job.door, job.status) for job in self.evidence.submissions)
        states = Counter(outcome.status for outcome in self.evidence.outcomes)
        deliveries = Counter(row.state for row in self.evidence.deliveries)
        begin = min((job.at for job in self.evidence.submissions), default=0.0)
        lines = [
            f"faults, seed {self.seed}: {'passed' if self.passed else 'FAILED'}; to run it again: {self.again}",
            "",
            "submitted  " + ", ".join(f"{door} {status} {count}" for (door, status), count in sorted(jobs.items())),
            "outcomes   " + ", ".join(f"{state} {count}" for state, count in sorted(states.items())),
            "deliveries "
            + ", ".join(f"{state} {count}" for state, count in sorted(deliveries.items()))
            + f"; {len(self.evidence.received)} requests received",
            f"normal     {normal_rate(self.evidence):.0f} outcomes a second before the first fault"
            f" (reached again: {SHARE:.0%} of that over {WINDOW_S} seconds)",
            f"recovery   p95 {self.recovery_s:.1f} s (limit {LONGEST_S:g} s), from the end of each group of faults:",
            *(f"  {_seconds(each.seconds):>12}  {', '.join(each.faults)}" for each in self.recovered),
            "",
            *(f"{count:6}  {column:27} {COLUMNS[column][1]}" for column, count in self.findings.counts().items()),
            "",
            *_timeline(self.evidence, begin),
            "",
            str(self.findings),
            *(f"  ended by itself: {text}" for text in self.exits),
            *(f"  left out: {text}" for text in self.left_out),
            *(f"  the run itself: {text}" for text in self.errors),
        ]
        return "\n".join(lines)

    def write(self, folder: Path) -> None:
        """Write report.txt, findings.json and timeline.svg."""
        (folder / "report.txt").write_text(f"{self}\n")
        (folder / "timeline.svg").write_text(picture(self.evidence))
        (folder / "findings.json").write_text(json.dumps(self._plain(), indent=2) + "\n")

    def _plain(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "passed": self.passed,
            "counts": self.findings.counts(),
            "found": self.findings.found,
            "recovery_p95_s": self.recovery_s,
            "recoveries": [{"faults": each.faults, "seconds": each.seconds} for each in self.recovered],
            "exits": self.exits,
            "errors": self.errors,
            "left_out": self.left_out,
        }


def _seconds(seconds: float | None) -> str:
    return "not measured" if seconds is None else f"{seconds:.1f} s"


def _timeline(evidence: Evidence, begin: float) -> list[str]:
    """Return the throughput as a line of bars, one a second, and each fault below it."""
    counts = per_second(evidence)
    if not counts:
        return []
    first, last = int(begin), max(*counts, *(int(fault.end) for fault in evidence.faults), int(begin))
    high = 2 * normal_rate(evidence) or max(counts.values())
    bars = "".join(
        _BARS[min(8, round(8 * counts[second] / high))] if counts[second] else " " for second in range(first, last + 1)
    )
    rows = [f"outcomes a second, one bar a second, full height {high:.0f}", f"|{bars}|"]
    for fault in sorted(evidence.faults, key=lambda each: each.begin):
        at, width = int(fault.begin) - first, max(1, int(fault.end) - int(fault.begin))
        rows.append(f" {' ' * at}{'─' * width} {fault.name} ({fault.end - fault.begin:.1f} s)")
    return rows


def picture(evidence: Evidence) -> str:
    """Return the throughput as an SVG, with the faults as bands below it."""
    counts = per_second(evidence)
    faults = sorted(evidence.faults, key=lambda fault: fault.begin)
    if not counts:
        return '<svg xmlns="http://www.w3.org/2000/svg"/>'
    first = min(*counts, *(int(fault.begin) for fault in faults), min(counts))
    last = max(*counts, *(int(fault.end) for fault in faults), max(counts))
    scale, height, high = 8, 160, max(counts.values())
    parts = [
        f'<rect x="{(s - first) * scale}" y="{height - height * n / high:.0f}" width="{scale - 1}" '
        f'height="{height * n / high:.0f}" fill="#3b6ea5"/>'
        for s, n in sorted(counts.items())
    ]
    for row, fault in enumerate(faults):
        x, width = (fault.begin - first) * scale, max(2.0, (fault.end - fault.begin) * scale)
        parts.append(f'<rect x="{x:.0f}" y="0" width="{width:.0f}" height="{height}" fill="#c33" opacity="0.15"/>')
        y = height + 14 * (row + 1)
        parts.append(f'<text x="{x:.0f}" y="{y}" font-size="11" font-family="sans-serif">{fault.name}</text>')
    size = f'width="{(last - first + 20) * scale}" height="{height + 14 * (len(faults) + 2)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>\n'
