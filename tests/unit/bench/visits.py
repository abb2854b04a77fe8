"""Visits with given figures, for tests of what is computed from them."""

from __future__ import annotations

from typing import Any

from bench.compare.figures import Latency, Visit


def latency(p50: float, p99: float, lost: int = 0) -> Latency:
    return Latency(p50, (p50 + p99) / 2, p99, p99, 100, lost)


def visit(peer: str, number: int, jobs_per_s: float, **others: Any) -> Visit:
    figures: dict[str, Any] = {
        "jobs": 1000,
        "submit_s": 0.5,
        "rows": 1000,
        "callbacks": 1000,
        "duplicates": 0,
        "machine_cpu_ms": 1.0,
        "cpu_us": {"worker": 100.0},
        "rss_mb": {"worker": 50.0},
        "idle": latency(4.0, 6.0),
        "open_loop": latency(5.0, 9.0),
    }
    return Visit(peer=peer, round=number, jobs_per_s=jobs_per_s, **(figures | others))
