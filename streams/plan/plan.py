"""From a load and a site to a plan: how many of each thing, what is the first to be full, how long jobs wait, what is stored.

Pure: all measured figures come in as `Figures`. Numbers of the day use the mean rate; everything else has to bear the peak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf

from schemas.topics import DAY_MS, TopicNames, declared
from streams.plan.figures import Figures
from streams.plan.queueing import ServiceTime, Wait, wait_in_own_queue, wait_in_shared_queue

DAY_S = 86_400
#: Hours and days of a month, as clouds bill them.
MONTH_HOURS, MONTH_DAYS = 730, 30.4
#: Partitions of a topic that the settings allow, and their default.
MOST_PARTITIONS, USUAL_PARTITIONS = 1000, 12
#: Concurrent tries of a sink to one destination: the default of SLUICE_CALLBACK_CONNECTIONS.
CALLBACK_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Workload:
    """`jobs_per_s`: mean over a day. `peak`: the busiest minutes' rate divided by it. `callback_s`: seconds that the backend
    takes to answer a callback. Sizes in bytes: of an input and an output as they are in a record."""

    jobs_per_s: float
    service: ServiceTime
    peak: float = 1.0
    callback_s: float = 0.02
    input_bytes: float = 200.0
    output_bytes: float = 200.0

    @property
    def peak_per_s(self) -> float:
        return self.jobs_per_s * self.peak


@dataclass(frozen=True, slots=True)
class Site:
    """Numbers that are None are chosen: the fewest with which nothing is used above `target`, a part of 1, and the p99 wait is
    at most `wait_s`. `shared`: any idle worker takes the next job (custody by lease). `cores`: of one machine. `copies`: of
    each record in Kafka. `keep_days`: of a job in Postgres; None: for ever. Prices are per hour, and per GB and month."""

    devices: int | None = None
    partitions: int | None = None
    sinks: int | None = None
    shared: bool = False
    cores: int = 16
    copies: int = 3
    keep_days: float | None = 30.0
    target: float = 0.7
    wait_s: float = inf
    device_price: float = 0.0
    core_price: float = 0.0
    gb_price: float = 0.0


@dataclass(frozen=True, slots=True)
class ResourceLimit:
    """A thing that can be full. `jobs_per_s`: the most that it bears. `add`: what to do when it is full."""

    name: str
    jobs_per_s: float
    utilisation: float
    add: str


@dataclass(frozen=True, slots=True)
class Storage:
    """Bytes: `log` of one copy and `log_copies` of all of them in Kafka, by its topics' retention; `postgres` with indexes,
    once `keep_days` have passed (None: it grows for ever). `rows_per_day`: that Postgres stores, and deletes."""

    log: float
    log_copies: float
    rows_per_day: float
    postgres_per_day: float
    postgres: float | None


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """`jobs_per_s`: the most that the whole bears: the smallest of `capacities`, which are ordered by utilisation at the peak.
    `waiting`: jobs that wait on average, and `in_flight`: with those that run (Little's law). `cores`: busy at the peak.
    `cost_per_month`: None without prices."""

    peak_per_s: float
    devices: int
    partitions: int
    sinks: int
    brokers: int
    cores: float
    jobs_per_s: float
    wait: Wait
    waiting: float
    in_flight: float
    capacities: Sequence[ResourceLimit]
    storage: Storage
    cost_per_month: float | None
    notes: Sequence[str]

    @property
    def overloaded(self) -> list[ResourceLimit]:
        return [each for each in self.capacities if each.utilisation >= 1]


def make_plan(load: Workload, site: Site, figures: Figures) -> CapacityPlan:
    """Return the plan. What is given too small is not changed: its utilisation is then 1 or more, and `add` says what helps."""
    load = replace(load, service=_with_engine(load.service, figures))
    devices = site.devices or _devices(load, site)
    least = _least_sinks(load, site, figures)
    partitions = site.partitions or _partitions(1 if site.shared else devices, site.sinks or least)
    sinks = site.sinks or _sinks(load, site, figures, least, partitions)
    wait = wait_for_device(load, site, devices, partitions)
    capacities = _capacities(load, site, figures, devices, partitions, sinks)
    brokers = max(site.copies, ceil(load.peak_per_s * _broker_us(site, figures) / 1e6 / (site.cores * site.target)))
    storage = _storage(load, site, figures)
    run_s = load.service.batch_s(wait.batch)
    return CapacityPlan(
        peak_per_s=load.peak_per_s,
        devices=devices,
        partitions=partitions,
        sinks=sinks,
        brokers=brokers,
        cores=load.peak_per_s * _site_us(site, figures) / 1e6,
        jobs_per_s=min(each.jobs_per_s for each in capacities),
        wait=wait,
        waiting=load.peak_per_s * wait.mean_s,
        in_flight=load.peak_per_s * (wait.mean_s + run_s),
        capacities=capacities,
        storage=storage,
        cost_per_month=_cost(load, site, figures, devices, storage),
        notes=_notes(site, devices, partitions, sinks, wait),
    )


def wait_for_device(load: Workload, site: Site, devices: int, partitions: int) -> Wait:
    """Return the wait of jobs at the peak, at the device that gets most of them."""
    if site.shared:
        return wait_in_shared_queue(load.peak_per_s, load.service, devices)
    return wait_in_own_queue(load.peak_per_s * largest_share(devices, partitions), load.service)


def largest_share(members: int, partitions: int) -> float:
    """Return the part of all jobs that the busiest of a group's members gets."""
    return ceil(partitions / members) / partitions


def predict(figures: Figures, cores: int, sinks: int) -> float:
    """Return the jobs a second of a whole installation on one machine, with a processor that does no work."""
    return min(cores * 1e6 / figures.total_us, sinks * figures.sink_jobs_per_s)


def _with_engine(service: ServiceTime, figures: Figures) -> ServiceTime:
    """Return the service time with what the child does for each job between two calls of the processor."""
    return replace(service, job_s=service.job_s + figures.cpu_us["child"] / 1e6)


def _devices(load: Workload, site: Site) -> int:
    """Return the fewest devices for the target and the wait. Doubles, then halves: more devices never raise the wait."""

    def enough(devices: int) -> bool:
        wait = wait_for_device(load, site, devices, site.partitions or devices)
        return wait.utilisation <= site.target and wait.p99_s <= site.wait_s

    most = max(1, ceil(load.peak_per_s / (load.service.jobs_per_s * site.target)))
    limit = site.partitions if site.partitions and not site.shared else most * 64
    while not enough(most) and most < limit:
        most = min(limit, most * 2)
    least = 1
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if enough(middle) else (middle + 1, most)
    return most


def _least_sinks(load: Workload, site: Site, figures: Figures) -> int:
    tries = load.peak_per_s * load.callback_s / CALLBACK_CONNECTIONS  # Little's law: callbacks in flight
    return max(1, ceil(max(load.peak_per_s / figures.sink_jobs_per_s, tries) / site.target))


def _sinks(load: Workload, site: Site, figures: Figures, least: int, partitions: int) -> int:
    """Return the fewest sinks, from `least` on, of which the one with most partitions is below the target."""
    share = figures.sink_jobs_per_s * site.target / load.peak_per_s
    return next(
        (sinks for sinks in range(least, partitions) if largest_share(sinks, partitions) <= share),
        max(least, partitions),
    )


def _partitions(devices: int, sinks: int) -> int:
    """Return a multiple of the devices, so that each has as many as any other, enough for the sinks."""
    return devices * ceil(max(USUAL_PARTITIONS, sinks) / devices)


def _broker_us(site: Site, figures: Figures) -> float:
    # A follower copies records; taken as dear as the leader's work, which is too much.
    return figures.cpu_us["kafka"] * site.copies


def _site_us(site: Site, figures: Figures) -> float:
    return figures.total_us - figures.cpu_us["kafka"] + _broker_us(site, figures)


def _capacities(
    load: Workload, site: Site, figures: Figures, devices: int, partitions: int, sinks: int
) -> list[ResourceLimit]:
    used = min(devices, partitions)
    device_jobs = load.service.jobs_per_s * (devices if site.shared else 1 / largest_share(used, partitions))
    sink_jobs = figures.sink_jobs_per_s / largest_share(min(sinks, partitions), partitions)
    connections = CALLBACK_CONNECTIONS * sinks / load.callback_s if load.callback_s else inf
    parents = 1e6 / figures.cpu_us["worker"] * (devices if site.shared else used)
    postgres = min(site.cores * 1e6 / figures.cpu_us["postgres"], figures.postgres_rows_per_s / figures.rows)
    peak, target = load.peak_per_s, site.target

    def more(count: int, jobs: float, thing: str) -> str:
        needed = max(1, ceil(count * peak / (jobs * target)) - count)
        return f"add {needed} {thing}{'s' if needed > 1 else ''}"

    devices_add = more(devices, device_jobs, "device")
    if not site.shared and devices >= partitions:
        devices_add += f", and partitions: at least {ceil(devices * peak / (device_jobs * target))}"
    found = [
        ("devices", device_jobs, devices_add),
        ("sinks", sink_jobs, more(sinks, sink_jobs, "sink")),
        ("callbacks", connections, f"{more(sinks, connections, 'sink')}, or raise SLUICE_CALLBACK_CONNECTIONS"),
        ("worker processes", parents, more(devices, parents, "worker")),
        ("Postgres", postgres, "measure yours, or split the processors over two installations"),
    ]
    made = [ResourceLimit(name, jobs, peak / jobs, add) for name, jobs, add in found]
    return sorted(made, key=lambda each: -each.utilisation)


def _storage(load: Workload, site: Site, figures: Figures) -> Storage:
    from schemas.records import ECHO

    day, names = load.jobs_per_s * DAY_S, TopicNames()
    days = {topic.name: topic.retention_ms / DAY_MS for topic in declared([ECHO], names)}
    sizes = figures.record_bytes
    log = day * (
        (sizes["requests"] + load.input_bytes) * days[names.requests("echo")]
        + (sizes["results"] + load.output_bytes) * days[names.results("echo")]
        + (sizes["outcomes"] + load.output_bytes) * days[names.outcomes("echo")]
    )
    rows = day * (sizes["postgres"] + load.output_bytes)
    kept = None if site.keep_days is None else rows * site.keep_days
    return Storage(log, log * site.copies, day * figures.rows, rows, kept)


def _cost(load: Workload, site: Site, figures: Figures, devices: int, storage: Storage) -> float | None:
    """Return a month's cost: devices and cores for the peak at the target, and disk; of Postgres a month's rows if they stay
    for ever."""
    if not (site.device_price or site.core_price or site.gb_price):
        return None
    cores = load.peak_per_s * _site_us(site, figures) / 1e6 / site.target
    stored = storage.postgres if storage.postgres is not None else storage.postgres_per_day * MONTH_DAYS
    disk = (storage.log_copies + stored) / 1e9
    return MONTH_HOURS * (devices * site.device_price + cores * site.core_price) + disk * site.gb_price


def _notes(site: Site, devices: int, partitions: int, sinks: int, wait: Wait) -> list[str]:
    notes = []
    if not site.shared and devices > partitions:
        notes.append(f"{devices - partitions} devices get no partition and no jobs: there are {partitions} partitions")
    elif not site.shared and partitions % devices:
        most, least = ceil(partitions / devices), partitions // devices
        notes.append(f"some devices get {most} partitions and others {least}; a multiple of {devices} is even")
    if partitions > MOST_PARTITIONS:
        notes.append(f"more than {MOST_PARTITIONS} partitions of a topic: split the load over several processors")
    if sinks > partitions:
        notes.append(f"{sinks - partitions} sinks get no partition")
    if wait.p99_s > site.wait_s:
        notes.append("the p99 wait is longer than asked for")
    if site.keep_days is None:
        notes.append("rows stay in Postgres for ever: set SLUICE_KEEP_DAYS")
    return notes
