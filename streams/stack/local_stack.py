"""The local stack: starts, stops and inspects all components and services together."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from platformdirs import user_cache_path

from schemas.errors import StartupError, UsageError
from streams.health.memory import resident
from streams.settings import STACK_ENV_FILE
from streams.stack import logfile, ports
from streams.stack.component import Component, Home, StartContext
from streams.stack.downloads import MAVEN_CENTRAL, Cache
from streams.stack.events import EventKind, Reporter, StackEvent
from streams.stack.kafka import Kafka
from streams.stack.lock import exclusive
from streams.stack.postgres import Postgres
from streams.stack.process import ProcessId
from streams.stack.process_records import ProcessRecord
from streams.stack.registry import Registry
from streams.stack.restarts import FILE as RESTARTS_FILE
from streams.stack.restarts import Restarts, read_restarts, write_restarts
from streams.stack.state import ENVIRONMENT_NAMES, ComponentState, StackState
from streams.stack.supervise import ProcessSupervisor, ServiceSpec, never_cancelled
from streams.stack.task_group import TaskGroup, task_group

COMPONENTS: Mapping[str, Component] = {component.name: component for component in (Kafka(), Registry(), Postgres())}
# Another process can take a port between our check and the component's start; then another port is tried.
_PORT_TRIES = 3
# How long a running process may take to answer before it counts as hung.
_ANSWER_SECONDS = 15.0
# How long a hung process may take to end before it is killed: nothing is lost by that.
_HUNG_SECONDS = 5.0

OnEvent = Callable[[StackEvent], None]


class LocalStack:
    """Kafka, the registry and Postgres of one project, and the services of sluice beside them.

    One command at a time changes a stack, others wait for it; `status` never waits.
    """

    def __init__(self, home: Path, *, cache: Path | None = None, repository: str = MAVEN_CENTRAL) -> None:
        """`home` is usually `<project>/.sluice`; `cache` is shared by all of a user's projects."""
        self._home = Home(home.absolute())
        self._cache = Cache(cache or user_cache_path("sluice"), repository)
        self._ports = ports.PortAllocations(self._home.root / "ports.json")
        self._supervisor = ProcessSupervisor(self._home.records)

    def up(self, components: Sequence[str] = tuple(COMPONENTS), on_event: OnEvent | None = None) -> StackState:
        """Start the components that do not run. On failure or Ctrl-C, those that this call started are stopped again."""
        wanted = [_component(name) for name in components]
        report = Reporter(on_event)
        with self._exclusively(report) as group:
            self._home.make()
            context = StartContext(self._home, self._cache, report, group.check)
            self._all_or_nothing(
                group, {component.name: partial(self._ensure, component, context) for component in wanted}, report
            )
            self._write_addresses()
        return self.status()

    def run(self, services: Sequence[ServiceSpec], on_event: OnEvent | None = None) -> StackState:
        """Start the services that do not run, with the same guarantees as `up`."""
        report = Reporter(on_event)
        with self._exclusively(report) as group:
            self._all_or_nothing(
                group, {each.name: partial(self._serve, each, report, group) for each in services}, report
            )
            self._write_addresses()
        return self.status()

    def down(self, on_event: OnEvent | None = None, names: Sequence[str] | None = None) -> list[str]:
        """Stop everything (services first, then the components), or only `names`; returns what was running."""
        report = Reporter(on_event)
        with self._exclusively(report) as group:
            known = [name for name in self._supervisor.names() if names is None or name in names]
            services = [name for name in known if name not in COMPONENTS]
            components = [name for name in known if name in COMPONENTS]
            stopped = [*self._stop(services, report, group), *self._stop(components, report, group)]
            if names is None:
                self._supervisor.sweep()
                (self._home.root / RESTARTS_FILE).unlink(missing_ok=True)
            self._write_addresses()
        return stopped

    def status(self) -> StackState:
        services = tuple(self._state(name) for name in self._supervisor.names() if name not in COMPONENTS)
        components = tuple(self._state(name) for name in COMPONENTS)
        return StackState(components, services, read_restarts(self._home.root))

    def start_again(
        self,
        name: str,
        services: Callable[[str], ServiceSpec],
        check: Callable[[], None],
        hung: ProcessId | None = None,
    ) -> bool:
        """Start a component or service that has died, or `hung`, and return without waiting until it is ready.

        Does nothing and returns False if another command has started or stopped it meanwhile. `services` returns a service by
        its name. Raises StartupError.
        """
        with exclusive(self._home.root / "lock", on_wait=never_cancelled, check=check):
            record, running = self._supervisor.record(name), self._supervisor.running(name)
            if record is None or (running is not None and running.process != hung):
                return False
            self._supervisor.clear(
                name, stop_seconds=_HUNG_SECONDS
            )  # before its port is assigned: a hung one occupies it
            if name in COMPONENTS:
                component, report = COMPONENTS[name], Reporter(None)
                component.prepare(StartContext(self._home, self._cache, report, check))
                self._supervisor.spawn(component.service(self._home, self._assign(component, report), self._cache))
            else:
                self._supervisor.spawn(services(name))
            self._write_addresses()
        return True

    def wanted(self) -> list[ProcessRecord]:
        """Return what was started and not stopped since, running or not; components first."""
        return sorted(self._supervisor.records(), key=lambda record: record.name not in COMPONENTS)

    def alive(self, record: ProcessRecord) -> bool:
        """True if the record's process runs."""
        running = self._supervisor.running(record.name)
        return running is not None and running.process == record.process

    def write_restarts(self, restarts: Iterable[Restarts]) -> None:
        """Let `status` return these failures."""
        write_restarts(self._home.root, restarts)

    def addresses(self) -> dict[str, str]:
        """Return the addresses of all components that were started, by their environment variables; some may be dead now."""
        return {
            ENVIRONMENT_NAMES[record.name]: record.facts["address"]
            for record in self.wanted()
            if record.name in ENVIRONMENT_NAMES
        }

    def service_port(self, name: str, default: int) -> int:
        """Return the port of a service: its own if it runs, else the default or another one that is free."""
        running = self._supervisor.running(name) is not None
        return self._ports.recorded().get(name, default) if running else self._ports.assign(name, default)

    def log(self, name: str) -> Path:
        """Return the path of the log of a component or service."""
        return self._home.log(name)

    @contextmanager
    def _exclusively(self, report: Reporter) -> Iterator[TaskGroup]:
        def waiting() -> None:
            report(EventKind.WAITING, "", "another sluice command is changing this stack; waiting for it")

        with task_group() as group, exclusive(self._home.root / "lock", on_wait=waiting, check=group.check):
            yield group

    def _all_or_nothing(self, group: TaskGroup, tasks: Mapping[str, Callable[[], bool]], report: Reporter) -> None:
        started: list[str] = []

        def run(name: str, task: Callable[[], bool]) -> None:
            if task():
                started.append(name)

        try:
            group.run([partial(run, name, task) for name, task in tasks.items()])
            group.check()
        except BaseException:
            self._stop(started, report, TaskGroup())
            raise

    def _ensure(self, component: Component, context: StartContext) -> bool:
        """Start the component unless it runs; returns whether this call started it."""
        if self._reused(component, context):
            return False
        self._supervisor.clear(component.name)  # first, so that a hung one frees its port
        component.prepare(context)
        for tries_left in reversed(range(_PORT_TRIES)):
            assigned = self._assign(component, context.report)
            service = component.service(self._home, assigned, self._cache)
            try:
                self._start(service, context.report, context.check)
                return True
            except StartupError:
                if tries_left == 0 or all(ports.free(port) for port in assigned.values()):
                    raise
        return False

    def _serve(self, service: ServiceSpec, report: Reporter, group: TaskGroup) -> bool:
        """Start the service unless it runs; returns whether this call started it."""
        running = self._supervisor.running(service.name)
        current = running is not None and running.facts == service.facts and not service.replaces
        if current and self._answers(service, report, group.check):
            return False
        self._report_death(service.name, report)
        instead = running is not None and service.replaces
        self._start(service, report, group.check, " again, with the settings of this command" if instead else "")
        return True

    def _start(self, service: ServiceSpec, report: Reporter, check: Callable[[], None], how: str = "") -> None:
        report(EventKind.STARTING, service.name, f"starting {service.name}{how}")
        record = self._supervisor.start(service, check)
        where = f" at {record.facts['address'].rpartition('@')[2]}" if "address" in record.facts else ""  # no password
        report(EventKind.READY, service.name, f"{service.name} is ready{where}")

    def _reused(self, component: Component, context: StartContext) -> bool:
        """Return whether the component already runs on its recorded ports and answers."""
        recorded = {name: port for name, port in self._ports.recorded().items() if name in component.ports}
        if self._supervisor.running(component.name) is not None and recorded.keys() == component.ports.keys():
            service = component.service(self._home, recorded, self._cache)
            if self._answers(service, context.report, context.check):
                return True
        self._report_death(component.name, context.report)
        return False

    def _answers(self, service: ServiceSpec, report: Reporter, check: Callable[[], None]) -> bool:
        # One that the supervisor has just started again gets as long as any start.
        running = self._supervisor.running(service.name)
        age = (datetime.now(UTC) - running.started_at).total_seconds() if running is not None else 0.0
        if not self._supervisor.answers(service, max(_ANSWER_SECONDS, service.start_seconds - age), check):
            if self._supervisor.running(service.name) is not None:
                report(EventKind.RECOVERED, service.name, f"{service.name} runs but does not answer; starting it again")
            return False
        logfile.bound(service.log)
        report(EventKind.REUSED, service.name, f"{service.name} is already running")
        return True

    def _report_death(self, name: str, report: Reporter) -> None:
        record = self._supervisor.record(name)
        if record is not None and self._supervisor.running(name) is None:
            report(EventKind.RECOVERED, name, f"{name} had died (pid {record.process.pid} is gone); starting it again")

    def _assign(self, component: Component, report: Reporter) -> dict[str, int]:
        before = self._ports.recorded()
        assigned = {name: self._ports.assign(name, default) for name, default in component.ports.items()}
        for name, port in assigned.items():
            expected = before.get(name, component.ports[name])
            if port != expected:
                report(EventKind.PORT, component.name, f"port {expected} is in use; {name} gets {port}")
        return assigned

    def _stop(self, names: Sequence[str], report: Reporter, group: TaskGroup) -> list[str]:
        stopped: list[str] = []

        def stop(name: str) -> None:
            report(EventKind.STOPPING, name, f"stopping {name}")
            if self._supervisor.stop(name):
                stopped.append(name)
            report(EventKind.STOPPED, name, f"{name} has stopped")

        group.run([partial(stop, name) for name in names])
        return stopped

    def _state(self, name: str) -> ComponentState:
        record = self._supervisor.running(name)
        if record is None:
            port, last = self._ports.recorded().get(name), self._supervisor.record(name)
            started_at = None if last is None else last.started_at
            return ComponentState(name, running=False, log=self._home.log(name), port=port, started_at=started_at)
        return ComponentState(
            name,
            running=True,
            log=record.log,
            pid=record.process.pid,
            port=self._ports.recorded().get(name),
            address=record.facts.get("address"),
            version=record.facts.get("version"),
            rss=resident(record.process.pid),
            started_at=record.started_at,
        )

    def _write_addresses(self) -> None:
        """Write the file from which settings read the addresses; private, because it contains the database password."""
        path = self._home.root / STACK_ENV_FILE
        addresses = self.addresses()
        if not addresses:
            path.unlink(missing_ok=True)
            return
        fresh = path.with_suffix(".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(addresses, file, indent=2)
        fresh.replace(path)


def _component(name: str) -> Component:
    try:
        return COMPONENTS[name]
    except KeyError:
        raise UsageError(
            f"Unknown component {name!r}.", next_step=f"The components are: {', '.join(COMPONENTS)}."
        ) from None
