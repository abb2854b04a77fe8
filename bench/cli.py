"""`sluice bench latency` and `sluice bench throughput`: measure this installation, with all services that run now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from streams.cli.app import sub_app
from streams.cli.options import Json
from streams.cli.output import err, out, out_json, table
from streams.cli.progress import progress_bar

app = sub_app(
    "bench",
    """Measure latency and throughput of this installation.

Both submit jobs to the processor `echo`, which does no work, so they measure
the engine itself. They need the services that `sluice up` starts, and receive
the callbacks themselves.

For example:

    sluice bench latency
    sluice bench throughput --jobs 100000
    sluice bench throughput --json
""",
)

Jobs = Annotated[int, Parameter(help="Number of jobs to measure.")]
WarmUp = Annotated[
    int, Parameter(help="Number of jobs to submit first, not measured: a fresh broker is slow at first.")
]


Via = Annotated[
    Literal["kafka", "http", "both"],
    Parameter(help="How to submit: to Kafka, to the gateway over HTTP, or in turns to compare both."),
]


@app.command
def latency(*, via: Via = "kafka", jobs: Jobs = 300, warm_up: WarmUp = 200, json: Json = False) -> None:
    """Measure the time from submit to callback, one job at a time.

    Prints milliseconds: p50, p90, p99 and maximum. Run it on an idle stack.

    For example:

        sluice bench latency
        sluice bench latency --via both
        sluice bench latency --jobs 1000 --json
    """
    from bench import latency as bench
    from streams.settings import load_settings

    with progress_bar("one at a time", jobs + warm_up) as advance:
        ways = ("kafka", "http") if via == "both" else (via,)
        reports = [asdict(report) for report in bench.measure(load_settings(), jobs, warm_up, advance, ways)]
    if json:
        out_json(reports if via == "both" else reports[0])
    else:
        out(table([[_text(value) for value in report.values()] for report in reports], list(reports[0])))


@app.command
def throughput(*, jobs: Jobs = 30_000, warm_up: WarmUp = 10_000, json: Json = False) -> None:
    """Measure jobs per second, from the first submit to the last callback.

    Submits all jobs as fast as Kafka accepts them, then waits for every callback.
    Also prints how many rows were stored, and callbacks received more than once.

    For example:

        sluice bench throughput
        sluice bench throughput --jobs 100000 --json
    """
    from bench import throughput as bench
    from streams.settings import load_settings

    err(f"Submitting {warm_up:,} jobs to warm up, then {jobs:,} to measure.")
    _show(asdict(bench.measure(load_settings(), jobs, warm_up)), json)


def _show(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        out_json(figures)
        return
    out(table([(name, _text(value)) for name, value in _flat(figures)], ("FIGURE", "VALUE")))


def _flat(figures: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from ((f"{name} {process}", each) for process, each in value.items())
        else:
            yield name, value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
