"""`sluice bench latency|throughput`: measure this installation, with everything that runs now."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from streams.cli.app import sub_app
from streams.cli.options import Json
from streams.cli.output import err, out, say_json, table
from streams.cli.progress import progress_bar

app = sub_app(
    "bench",
    """Measure this installation: latency and throughput, from submit to callback.

Both send jobs to the processor `echo`, which does nothing, so that what is
measured is the engine. They need the services that `sluice up` starts, and
receive the callbacks themselves.

For example:

    sluice bench latency
    sluice bench throughput --jobs 100000
    sluice bench throughput --json
""",
)


@app.command
def latency(*, jobs: int = 300, warm_up: int = 200, json: Json = False) -> None:
    """Time jobs one by one on an idle road, from submit to callback.

    Prints milliseconds: p50, p90, p99 and the worst.

    For example:

        sluice bench latency
        sluice bench latency --jobs 1000 --json

    Parameters
    ----------
    jobs
        How many jobs to time.
    warm_up
        Jobs to send before, not counted: a fresh broker's Java code is slow until it has run.
    """
    from bench import latency as bench
    from streams.settings import load_settings

    with progress_bar("one at a time", jobs + warm_up) as advance:
        report = bench.measure(load_settings(), jobs, warm_up, advance)
    _show(asdict(report), json)


@app.command
def throughput(*, jobs: int = 30_000, warm_up: int = 10_000, json: Json = False) -> None:
    """Count the jobs that are stored and called back a second.

    Submits as fast as the log takes them. The clock runs from the first submit
    to the last callback.

    For example:

        sluice bench throughput
        sluice bench throughput --jobs 100000 --json

    Parameters
    ----------
    jobs
        How many jobs to send.
    warm_up
        Jobs to send before, not counted: a fresh broker's Java code is slow until it has run.
    """
    from bench import throughput as bench
    from streams.settings import load_settings

    err(f"Sending {jobs:,} jobs after {warm_up:,} to warm up.")
    _show(asdict(bench.measure(load_settings(), jobs, warm_up)), json)


def _show(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(figures)
        return
    rows = [(name, f"{value:,.2f}" if isinstance(value, float) else f"{value:,}") for name, value in figures.items()]
    out(table(rows, ("figure", "value")))
