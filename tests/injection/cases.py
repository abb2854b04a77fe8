"""Runs one case: the whole scenario with one or two faults in one service, and what is wrong afterwards."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.registry import MemoryRegistry
from tests.injection.checker import Checker
from tests.injection.injector import CallSite, Fault, Injector, Kind, Struck
from tests.injection.primitives import Event
from tests.injection.processors import PROCESSORS
from tests.injection.scenario import submit
from tests.injection.services import BUILD, Ending, KeptService
from tests.injection.simulation import Process, SimThread
from tests.injection.world import World, world

#: Virtual seconds in which everything must have ended, however often something was injected.
HORIZON_S = 240.0
LOOK_S = 0.5
#: Virtual seconds in which every service must stop.
STOP_S = 60.0
#: Virtual seconds after a fault in which it must show.
SHOWS_S = 10.0
#: A full queue of the client is back-pressure: the producer waits for room.
QUIET = frozenset({Kind.QUEUE_FULL, Kind.KILL})


@dataclass
class Result:
    plan: Sequence[Fault]
    calls: dict[CallSite, int]
    struck: list[Struck]
    findings: list[str]
    took_s: float = 0.0
    log: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        faults = " and ".join(map(str, self.plan)) or "no fault"
        return f"{faults}:\n" + "\n".join(f"    {finding}" for finding in self.findings)


def run_case(*plan: Fault, inline: bool = False, horizon_s: float = HORIZON_S) -> Result:
    """Run the scenario with these faults, within `simulated`. `inline`: the sink makes deliveries, beside the notifier."""
    random.seed(0)
    injector = Injector(plan)
    with world(injector) as opened:
        expected = submit(opened)
        registry = MemoryRegistry.at(opened.settings.registry_url)
        assert registry is not None
        checker = Checker(opened.log, opened.database, opened.backend.posts, registry.schema_by_id, expected)
        services = [KeptService(opened, name, inline=inline) for name in BUILD]
        findings = _settle(opened, checker, horizon_s)
        took_s = opened.simulation.now
        findings += _stop(opened, services)
        findings = findings or [f"{finding}, after a stop" for finding in checker.findings()]
        findings += _unwanted_repeats(checker, injector.struck)
        findings += [text for struck in injector.struck if (text := _silent(opened, services, struck)) is not None]
        findings += _died_unseen(opened, services)
        lines = [f"{e.at:7.2f} {e.process.name} {e.level} {e.event} {e.fields}" for e in opened.logs]
        calls = dict(injector.calls)
    return Result(plan, calls, injector.struck, findings, took_s, lines)


def _settle(opened: World, checker: Checker, horizon_s: float) -> list[str]:
    findings = ["nothing has run"]
    while findings and opened.simulation.now < horizon_s:
        opened.simulation.sleep(LOOK_S)
        if any(
            struck.fault.kind is Kind.BUG and struck.fault.site.port == "objects" for struck in opened.injector.struck
        ):
            for processor in PROCESSORS:
                checker.may_fail(processor, "save")
        findings = checker.findings()
    return findings


def _stop(opened: World, services: list[KeptService]) -> list[str]:
    stopped = Event()

    def stop_all() -> None:
        for service in services:
            service.stop()
        stopped.set()

    SimThread(target=stop_all, name="stop").start()
    return [] if stopped.wait(STOP_S * len(services)) else ["stuck: the services do not stop"]


def _unwanted_repeats(checker: Checker, struck: list[Struck]) -> list[str]:
    if struck:
        return []
    counts = {"posts": checker.doubled_posts(), "outcome records": checker.doubled_outcomes()}
    return [f"doubled: {count} {what} without a fault" for what, count in counts.items() if count]


def _silent(opened: World, services: list[KeptService], struck: Struck) -> str | None:
    """Return a finding if an error shows nowhere: not in the service's log, not in its health, not by its end."""
    if struck.fault.kind in QUIET:
        return None
    until = struck.at + SHOWS_S
    name = struck.process.name
    lines = [event for event in opened.logs if event.process.name == name and struck.at <= event.at <= until]
    logged = any(event.level in ("warning", "error", "critical") for event in lines)
    service = next(service for service in services if service.name == name)
    ill = any(struck.at <= at <= until for at, _, _ in service.faults)
    ended = any(_loud(ending) for ending in service.endings if struck.at <= ending.at <= until)
    return None if logged or ill or ended or _recorded(opened, struck) else f"silent: {struck.fault} shows nowhere"


def _recorded(opened: World, struck: Struck) -> bool:
    """True if users see the error where it belongs: in the job's own result of that attempt, or in the delivery's tries."""
    if struck.fault.site.port == "http":
        return any(row.error is not None for each in opened.database.deliveries.values() for row in each.try_rows)
    results = (
        message for name in opened.log.topics if name.startswith("results.") for message in opened.log.records(name)
    )
    return struck.fault.site.port == "objects" and any(b"injected" in (message.value() or b"") for message in results)


def _died_unseen(opened: World, services: list[KeptService]) -> list[str]:
    seen: set[Process] = {ending.process for service in services for ending in service.endings if _loud(ending)}
    return [
        f"died unseen: a thread of {process.name} by {type(error).__name__}"
        for process in opened.simulation.processes
        for error in process.died
        if process not in seen and not any(process in parent.children for parent in opened.simulation.processes)
    ]


def _loud(ending: Ending) -> bool:
    return ending.error is not None or ending.why.startswith("health")
