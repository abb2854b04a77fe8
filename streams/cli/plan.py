"""`sluice plan`: what a load needs, by arithmetic on measured figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from streams.cli.options import Json
from streams.cli.output import err, out, out_json, table

if TYPE_CHECKING:
    from streams.plan.figures import Figures
    from streams.plan.plan import CapacityPlan, Site, Workload

#: Upper bounds keep the arithmetic finite; no load comes near them.
_RATE = validators.Number(gt=0, lte=1e7)
_DAY = validators.Number(gt=0, lte=10**12)
_FACTOR = validators.Number(gte=1, lte=1000)
_MS = validators.Number(gte=0, lte=1e9)
_VARIATION = validators.Number(gte=0, lte=100)
_COUNT = validators.Number(gte=1, lte=100_000)
_BYTES = validators.Number(gte=0, lte=10**10)
_PRICE = validators.Number(gte=0, lte=1e6)
_TARGET = validators.Number(gt=0, lt=1)


@Parameter(name="*")
@dataclass(frozen=True)
class LoadOptions:
    jobs_per_s: Annotated[
        float | None,
        Parameter(
            validator=_RATE, help="Jobs a second, the mean of a day's 86,400 seconds. Default: by --jobs-per-day."
        ),
    ] = None
    jobs_per_day: Annotated[
        int | None, Parameter(validator=_DAY, help="Jobs a day, in place of --jobs-per-s. Default: none.")
    ] = None
    peak: Annotated[
        float, Parameter(validator=_FACTOR, help="Rate of the busiest minutes, relative to the day's mean.")
    ] = 3.0
    service_ms: Annotated[
        float, Parameter(validator=_MS, help="Milliseconds that a device takes for one job alone; 0: no work, as echo.")
    ] = 0.0
    variation: Annotated[
        float,
        Parameter(validator=_VARIATION, help="Standard deviation of that time relative to its mean; 1: exponential."),
    ] = 0.0
    batch: Annotated[int, Parameter(validator=_COUNT, help="Jobs in the largest batch.")] = 1
    batch_ms: Annotated[
        float | None,
        Parameter(validator=_MS, help="Milliseconds for such a batch. Default: --service-ms for each of its jobs."),
    ] = None
    callback_ms: Annotated[
        float,
        Parameter(validator=_MS, help="Milliseconds that the backend takes to answer a callback; 0: no callbacks."),
    ] = 20.0
    input_bytes: Annotated[
        int, Parameter(validator=_BYTES, help="Bytes of an input within its record; files are claims of 100 or so.")
    ] = 200
    output_bytes: Annotated[int, Parameter(validator=_BYTES, help="Bytes of an output within its record.")] = 200


@Parameter(name="*")
@dataclass(frozen=True)
class SiteOptions:
    devices: Annotated[int | None, Parameter(validator=_COUNT, help="Devices. Default: as many as it takes.")] = None
    partitions: Annotated[
        int | None, Parameter(validator=_COUNT, help="Partitions of each topic. Default: a multiple of the devices.")
    ] = None
    sinks: Annotated[int | None, Parameter(validator=_COUNT, help="Sinks. Default: as many as it takes.")] = None
    shared: Annotated[
        bool, Parameter(negative="", help="Any idle worker takes the next job: custody by lease. No batches.")
    ] = False
    cores: Annotated[int, Parameter(validator=_COUNT, help="Cores of one machine.")] = 16
    copies: Annotated[
        int, Parameter(validator=validators.Number(gte=1, lte=10), help="Copies of each record in Kafka.")
    ] = 3
    keep_days: Annotated[
        int | None, Parameter(validator=_COUNT, help="Days that jobs stay in Postgres. Default: for ever.")
    ] = None
    target: Annotated[
        float, Parameter(validator=_TARGET, help="Utilisation at the peak to choose numbers for, relative to 1.")
    ] = 0.7
    wait_ms: Annotated[
        float | None,
        Parameter(
            validator=_MS, help="Milliseconds that 99 % of jobs may wait for a device at most. Default: no limit."
        ),
    ] = None
    device_price: Annotated[float, Parameter(validator=_PRICE, help="Price of a device for one hour.")] = 0.0
    core_price: Annotated[float, Parameter(validator=_PRICE, help="Price of a core for one hour.")] = 0.0
    gb_price: Annotated[float, Parameter(validator=_PRICE, help="Price of a GB of disk for one month.")] = 0.0


def plan(
    load: LoadOptions = LoadOptions(),
    site: SiteOptions = SiteOptions(),
    *,
    figures: Annotated[
        Path | None,
        Parameter(
            help="File of measured figures: TOML, or JSON of `sluice bench throughput`. Default: the built-in ones."
        ),
    ] = None,
    check: Annotated[
        Path | None,
        Parameter(help="Compare the prediction with this JSON of `sluice bench throughput` instead. Default: none."),
    ] = None,
    json: Json = False,
) -> int:
    """Say what a load needs: devices, services, disk, and how long jobs wait.

    It asks no service: it is arithmetic on figures that were measured once
    (streams/plan/figures.toml). Measure yours with `sluice bench throughput` and
    give them with --figures. Numbers that you do not give are chosen so that
    nothing is used more than --target at the peak. docs/scaling.md explains the
    figures and works an example out.

    For example:

        sluice plan --jobs-per-s 50 --service-ms 20
        sluice plan --jobs-per-day 100000000 --service-ms 5 --batch 32 --batch-ms 20
        sluice plan --jobs-per-s 2 --service-ms 60000 --variation 1 --shared
        sluice plan --jobs-per-s 50 --service-ms 20 --devices 1    # what is full?
        sluice bench throughput --json > run.json
        sluice plan --check run.json --cores 2                     # how far off?
    """
    from streams.plan.figures import read_figures
    from streams.plan.plan import make_plan

    known = read_figures(figures)
    if check is not None:
        return _check(check, known, site.cores, json=json)
    wanted, place = _load(load, site), _site(site)
    made = make_plan(wanted, place, known)
    if json:
        out_json(_finite({**asdict(made), "overloaded": bool(made.overloaded), "figures": asdict(known)}))
    else:
        out("\n".join(_lines(made, wanted, place)))
        err(f"figures: {known.source}")
    return 0


def _load(options: LoadOptions, site: SiteOptions) -> Workload:
    from schemas.errors import UsageError
    from streams.plan.plan import DAY_S, Workload
    from streams.plan.queueing import ServiceTime

    if (options.jobs_per_s is None) == (options.jobs_per_day is None):
        raise UsageError("How many jobs are there?", next_step="Give --jobs-per-s or --jobs-per-day, one of them.")
    rate = options.jobs_per_s if options.jobs_per_s is not None else (options.jobs_per_day or 0) / DAY_S
    one, full = options.service_ms / 1000, options.batch * options.service_ms / 1000
    if options.batch_ms is not None:
        full = options.batch_ms / 1000
    if site.shared and options.batch > 1:
        raise UsageError("--shared has no batches.", next_step="Leave out --batch, or --shared.")
    if options.batch == 1 and options.batch_ms is not None:
        raise UsageError("--batch-ms needs --batch.", next_step="Say how many jobs the largest batch has.")
    if not one <= full <= options.batch * one:
        raise UsageError(
            f"A batch of {options.batch} can't take {full * 1000:g} ms where one job takes {one * 1000:g} ms.",
            next_step=f"Give --batch-ms between {one * 1000:g} and {options.batch * one * 1000:g}.",
        )
    each = one if options.batch == 1 else (full - one) / (options.batch - 1)
    service = ServiceTime(max(0.0, one - each), each, options.variation, options.batch)
    sizes = {"input_bytes": options.input_bytes, "output_bytes": options.output_bytes}
    return Workload(rate, service, options.peak, options.callback_ms / 1000, **sizes)


def _site(options: SiteOptions) -> Site:
    from streams.plan.plan import Site

    given = asdict(options)
    wait_ms = given.pop("wait_ms")
    return Site(**given, wait_s=inf if wait_ms is None else wait_ms / 1000)


def _lines(made: CapacityPlan, load: Workload, site: Site) -> Iterator[str]:
    yield f"peak {made.peak_per_s:,.1f} jobs/s (mean {load.jobs_per_s:,.1f}); all together bear {made.jobs_per_s:,.1f} jobs/s"
    yield ""
    used = {each.name: each for each in made.capacities}
    counts = {"devices": made.devices, "sinks": made.sinks, "Postgres": 1, "worker processes": made.devices}
    rows = [(name, counts.get(name), f"{one.utilisation:.0%}", _rate(one.jobs_per_s)) for name, one in used.items()]
    more = [("partitions", made.partitions, None, None), ("brokers", made.brokers, None, None)]
    yield table([*rows, *more], ("", "HOW MANY", "USED", "BEARS JOBS/S"))
    yield ""
    wait, disk = made.wait, made.storage
    if isfinite(wait.mean_s):
        batches = f", in batches of {wait.batch:.1f}" if load.service.most > 1 else ""
        yield f"wait for a device at the peak: p50 {_ms(wait.p50_s)}, p99 {_ms(wait.p99_s)}, mean {_ms(wait.mean_s)}{batches}"
        yield f"jobs that wait: {made.waiting:,.1f}; with those that run: {made.in_flight:,.1f}"
    yield f"cores busy at the peak: {made.cores:.1f}, without what processors do on theirs"
    copies = disk.log_copies
    yield f"Kafka: {_size(disk.log)}; with its copies {_size(copies)}, a broker {_size(copies / made.brokers)}"
    kept = "without end" if disk.postgres is None else f"{_size(disk.postgres)} after {site.keep_days:g} days"
    yield f"Postgres: {disk.rows_per_day:,.0f} rows a day, {_size(disk.postgres_per_day)} a day; {kept}"
    if made.cost_per_month is not None:
        per_million = made.cost_per_month / (load.jobs_per_s * 86_400 * 30.4 / 1e6)
        yield f"cost: {made.cost_per_month:,.0f} a month, {per_million:,.2f} for a million jobs"
    for full in made.overloaded:
        yield f"OVERLOAD: {full.name} at {full.utilisation:.0%}: {full.add}"
    yield from (f"note: {note}" for note in made.notes)


def _check(path: Path, figures: Figures, cores: int, *, json: bool) -> int:
    """Print the throughput that the figures predict for the machine of a measured run, and how far off it is."""
    from streams.plan.figures import read_run
    from streams.plan.plan import predict

    run = read_run(path)
    predicted = predict(figures, cores, run.sinks)
    error = predicted / run.jobs_per_s - 1
    found = {"predicted_jobs_per_s": predicted, "measured_jobs_per_s": run.jobs_per_s, "error": error}
    on = f"{cores} cores, {run.sinks} sink{'s' if run.sinks > 1 else ''}"
    text = f"predicted {predicted:,.0f} jobs/s ({on}), measured {run.jobs_per_s:,.0f}: {error:+.0%}"
    out_json(found) if json else out(text)
    return 0


def _finite(value: Any) -> Any:
    """Replace infinite numbers by None, which JSON has."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms" if seconds < 10 else f"{seconds:,.0f} s"


def _rate(jobs_per_s: float) -> str:
    return "any" if not isfinite(jobs_per_s) else f"{jobs_per_s:,.1f}"


def _size(size: float) -> str:
    unit, of = ("MB", 1e6) if size < 1e9 else ("GB", 1e9) if size < 1e12 else ("TB", 1e12)
    return f"{size / of:,.1f} {unit}"
