"""Computations on measured times: latencies, medians with their spread, and the ratios of the acceptance."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.stats import percentile


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one visit. `lost`: jobs whose callback did not come; they count as the longest wait."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    samples: int
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Visit:
    """The figures of one system in one round.

    `jobs_per_s`: from the first submit to the last callback. `machine_cpu_ms`: CPU time a job of the whole machine.
    `cpu_us`, `rss_mb`: by process, a job and at the end. `idle`: one job at a time. `open_loop`: at a fixed rate, from the
    time each job was to be sent. `rows`, `callbacks`, `duplicates`: of the burst; rows and callbacks should be `jobs`.
    """

    peer: str
    round: int
    jobs: int
    jobs_per_s: float
    submit_s: float
    rows: int
    callbacks: int
    duplicates: int
    machine_cpu_ms: float
    cpu_us: Mapping[str, float]
    rss_mb: Mapping[str, float]
    idle: Latency
    open_loop: Latency

    @property
    def complete(self) -> bool:
        """True if every job of the burst has a row and a callback, and none is missing of the others."""
        return self.rows == self.callbacks == self.jobs and not self.idle.lost and not self.open_loop.lost


def open_loop_latency(intended: Sequence[float], arrived: Mapping[int, float], gave_up_at: float) -> Latency:
    """Return the latency of jobs that were to be sent at fixed times, whatever became of those before.

    Times are seconds of one clock; `arrived` has the callback of each job by its number. Each wait begins when the job was to
    be sent, not when it was: a system that stalls delays the submits as well, and those waits would be missing else
    (coordinated omission). A job that never came back has waited until `gave_up_at`. Raises ValueError without any jobs.
    """
    waits = [(arrived.get(number, gave_up_at) - at) * 1000 for number, at in enumerate(intended)]
    return latency_of(waits, lost=sum(number not in arrived for number in range(len(intended))))


def latency_of(waits_ms: Sequence[float], lost: int = 0) -> Latency:
    """Return the percentiles of waits in milliseconds. Raises ValueError if there are none."""
    p50, p95, p99 = (percentile(waits_ms, percent) for percent in (50, 95, 99))
    return Latency(p50, p95, p99, max(waits_ms), len(waits_ms), lost)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure of several rounds: its median, and the lowest and highest of them."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Raises ValueError if there are no values."""
    if not values:
        raise ValueError("no values to take a median of")
    return Spread(median(values), min(values), max(values))


Figure = Callable[[Visit], float]


def _jobs_per_s(visit: Visit) -> float:
    return visit.jobs_per_s


def _idle_p50(visit: Visit) -> float:
    return visit.idle.p50_ms


def _idle_p99(visit: Visit) -> float:
    return visit.idle.p99_ms


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar that sluice must reach: a figure of its own, or its ratio to that of a peer in the same round."""

    text: str
    figure: Figure
    peer: str | None
    holds: Callable[[float, float], bool]
    sign: str
    value: float


BARS = (
    Bar("throughput ÷ Celery, prefork 2", _jobs_per_s, "celery", operator.ge, "≥", 12.0),
    Bar("throughput ÷ careful Celery", _jobs_per_s, "celery-careful", operator.ge, "≥", 15.0),
    Bar("throughput ÷ hand-written pipeline", _jobs_per_s, "handwritten", operator.ge, "≥", 0.9),
    Bar("throughput ÷ awa-pg", _jobs_per_s, "awa", operator.gt, ">", 1.0),
    Bar("idle p50 ÷ Celery's", _idle_p50, "celery", operator.le, "≤", 1.0),
    Bar("idle p50, ms", _idle_p50, None, operator.le, "≤", 4.0),
    Bar("idle p99 ÷ hand-written pipeline's", _idle_p99, "handwritten", operator.le, "≤", 1.2),
)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A line of the acceptance. `spread` and `passed` are None if the peer was not measured."""

    text: str
    bar: str
    spread: Spread | None
    passed: bool | None


def ratios(visits: Sequence[Visit], own: str = "sluice") -> list[Ratio]:
    """Return how sluice stands to each bar.

    A ratio is taken within each round, since its visits met the same machine, and its median counts.
    """
    by_round = {(visit.peer, visit.round): visit for visit in visits}
    return [_ratio(bar, by_round, own) for bar in BARS]


def _ratio(bar: Bar, by_round: Mapping[tuple[str, int], Visit], own: str) -> Ratio:
    values = []
    for (peer, number), visit in by_round.items():
        other = by_round.get((bar.peer, number)) if bar.peer else None
        if peer == own and bar.peer is None:
            values.append(bar.figure(visit))
        elif peer == own and other is not None:
            values.append(bar.figure(visit) / bar.figure(other))
    found = spread(values) if values else None
    return Ratio(
        bar.text, f"{bar.sign} {bar.value:g}", found, None if found is None else bar.holds(found.median, bar.value)
    )
