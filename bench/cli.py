"""`sluice bench`: measures this installation, and compares sluice with other job systems on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, validators

from schemas.errors import ExitCode
from streams.cli.app import sub_app
from streams.cli.options import Json
from streams.cli.output import err, out, out_json, table
from streams.cli.progress import progress_bar

app = sub_app(
    "bench",
    """Measure latency and throughput of this installation.

`latency` and `throughput` submit jobs to the processor `echo`, which does no
work, so they measure the engine itself. They need the services that `sluice up`
starts, and receive the callbacks themselves. `peers` and `growth` start all
they need.

For example:

    sluice bench latency
    sluice bench throughput --jobs 100000
    sluice bench throughput --json
    sluice bench peers --peers sluice,celery,handwritten
    sluice bench growth
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


Peers = Annotated[
    str,
    Parameter(
        help="Systems to measure, separated by commas: sluice, celery, celery-careful, celery-8, dramatiq, taskiq, awa, "
        "quix, handwritten. Default: all.",
    ),
]
Rounds = Annotated[
    int,
    Parameter(
        help="How often each system is visited; medians and ranges are over the rounds.",
        validator=validators.Number(gte=1),
    ),
]
Seconds = Annotated[
    float,
    Parameter(
        help="Length of the burst, about, and of the open loop, in seconds.",
        validator=validators.Number(gt=0),
    ),
]
BurstJobs = Annotated[
    int | None,
    Parameter(
        help="Jobs of the burst. Default: as many as the system does in --seconds.", validator=validators.Number(gte=1)
    ),
]
Samples = Annotated[int, Parameter(help="Jobs one at a time in each visit.", validator=validators.Number(gte=1))]
Rate = Annotated[
    float,
    Parameter(
        help="Rate of the open loop, relative to a second. Keep it below what the slowest system does.",
        validator=validators.Number(gt=0),
    ),
]
Full = Annotated[bool, Parameter(help="Add the rows that take minutes each.")]
Scale = Annotated[
    float,
    Parameter(help="Multiplies the jobs of each row, relative to the usual number.", validator=validators.Number(gt=0)),
]
Results = Annotated[Path, Parameter(help="Folder for the results; they go to a folder of today's date in it.")]


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
def peers(
    *,
    peers: Peers = "",
    rounds: Rounds = 3,
    seconds: Seconds = 4.0,
    jobs: BurstJobs = None,
    samples: Samples = 150,
    rate: Rate = 200.0,
    results: Results = Path("bench/results"),
    json: Json = False,
) -> int:
    """Compare sluice with other job systems on the same work, in one sitting.

    The work is a job of 600 bytes, nothing computed, a row upserted in Postgres
    and a callback. Every round visits each system once: starts it, warms it up,
    measures it, stops it. Prints jobs per second, latency of one job at a time and
    in an open loop, CPU time and memory, then the ratios that sluice has to reach.
    Three rounds of all systems take about ten minutes.

    It starts Kafka, Postgres and Redis of its own and deletes them at the end, so
    nothing else should run. `make bench` installs the peers first. A peer that
    can't be measured is named, and the rest goes on. Results are written to
    RESULTS/DATE/peers.json and .png.

    For example:

        sluice bench peers
        sluice bench peers --peers sluice,celery --rounds 5
        sluice bench peers --rounds 1 --seconds 1 --samples 30     # a try
    """
    from datetime import UTC, datetime

    from bench.compare import report, run
    from bench.compare.visit import VisitPlan
    from streams.settings import load_settings

    plan, visited = VisitPlan(seconds, jobs, samples, rate), run.chosen([name for name in peers.split(",") if name])
    with progress_bar("visits", rounds * len(visited)) as advance:
        comparison = run.compare(load_settings(), visited, rounds, plan, err, advance)
    written = report.write(results / f"{datetime.now(UTC):%Y-%m-%d}", comparison, {"rounds": rounds, **asdict(plan)})
    if json:
        out_json(report.document(comparison, {"rounds": rounds, **asdict(plan)}))
    else:
        out(report.text(comparison))
    for path in written:
        err(f"written: {path}")
    return ExitCode.PARTIAL if comparison.missing else ExitCode.OK


@app.command
def growth(
    *, full: Full = False, scale: Scale = 1.0, results: Results = Path("bench/results"), json: Json = False
) -> int:
    """Measure what a job costs as jobs, workers, processors and payloads grow.

    Each row is a run of `sluice bench throughput` on a stack of its own, which is
    deleted afterwards: CPU microseconds a job and memory, by process. Writes
    RESULTS/DATE/growth.md and .json. Nothing else should run. It takes about ten
    minutes; with --full, which adds a million jobs and fifty workers, half an hour.

    For example:

        sluice bench growth
        sluice bench growth --full
        sluice bench growth --scale 0.02     # a try
    """
    from datetime import UTC, datetime

    from bench.growth import report, run
    from bench.growth.rows import rows
    from streams.settings import load_settings

    chosen = rows(scale, full=full)
    with progress_bar("rows", len(chosen)) as advance:
        measured = run.measure(load_settings(), chosen, err, advance)
    written = report.write(results / f"{datetime.now(UTC):%Y-%m-%d}", measured)
    out_json(report.document(measured)) if json else out(report.markdown(measured))
    for path in written:
        err(f"written: {path}")
    return ExitCode.PARTIAL if any(each.failed for each in measured) else ExitCode.OK


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
