"""The measured figures that a plan is made from, read from `figures.toml` or another file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from schemas.errors import UsageError

FIGURES = Path(__file__).with_name("figures.toml")
#: Processes whose CPU time a job takes, in the order of its way.
PROCESSES = ("client", "kafka", "worker", "child", "sink", "postgres")


@dataclass(frozen=True, slots=True)
class Figures:
    """`cpu_us`: microseconds of CPU a job, by the names in PROCESSES. `record_bytes`: of a job by topic role and `postgres`,
    without its input or output. `sink_jobs_per_s`: the most that one sink stores. `rows`: of a job in Postgres, which stores
    `postgres_rows_per_s` at most."""

    source: str
    cpu_us: Mapping[str, float]
    record_bytes: Mapping[str, float]
    sink_jobs_per_s: float
    rows: float
    postgres_rows_per_s: float

    @property
    def total_us(self) -> float:
        return sum(self.cpu_us.values())


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A run of `sluice bench throughput --json`. `cpu_us`: by the names in PROCESSES; of several sinks or workers the sum."""

    jobs_per_s: float
    sinks: int
    cpu_us: Mapping[str, float]


def read_figures(path: Path | None = None) -> Figures:
    """Return the figures of a TOML file, or the default ones with the CPU times of a measured run. Raises UsageError."""
    if path is not None and path.suffix == ".json":
        return replace(read_figures(), source=str(path), cpu_us=read_run(path).cpu_us)
    path = path or FIGURES
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        cpu = {name: float(found["cpu_us"][name]) for name in PROCESSES}
        sizes = {name: float(found["bytes"][name]) for name in ("requests", "results", "outcomes", "postgres")}
        limits = [float(found["limits"][name]) for name in ("sink_jobs_per_s", "rows", "postgres_rows_per_s")]
        figures = Figures(str(found["source"]), cpu, sizes, *limits)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from error
    if not all(0 < each < inf for each in (*cpu.values(), *sizes.values(), *limits)):
        raise UsageError(f"A figure of {path} is no number above 0.", next_step=f"Compare it with {FIGURES}.")
    return figures


def read_run(path: Path) -> MeasuredRun:
    """Return a run that `sluice bench throughput --json` has written. Raises UsageError."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        used: dict[str, float] = dict.fromkeys(PROCESSES, 0.0)
        for name, micros in found["cpu_us"].items():
            kind = _process(name)
            if kind in used:
                used[kind] += float(micros)
        sinks = sum(_process(name) == "sink" for name in found["cpu_us"])
        run = MeasuredRun(float(found["jobs_per_s"]), sinks, used)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from error
    if not all(0 < each < inf for each in (run.jobs_per_s, *used.values())):
        raise UsageError(
            f"{path} lacks a process: all must run on one machine.", next_step="Run it beside `sluice up`."
        )
    return run


def _process(name: str) -> str:
    """Return the name in PROCESSES of a process of the stack: `worker-echo.2 child` is `child`."""
    return "child" if name.endswith(" child") else name.partition(".")[0].partition("-")[0]


def _unreadable(path: Path, error: Exception) -> UsageError:
    return UsageError(
        f"{path} has no figures that can be read: {type(error).__name__}: {error}.",
        next_step=f"Give a file like {FIGURES}, or what `sluice bench throughput --json` printed.",
    )
