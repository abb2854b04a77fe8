"""The local stack as a whole: components that start together, stop together and are asked together."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from platformdirs import user_cache_path

from schemas.errors import StartupError, UsageError
from streams.settings import STACK_ENV_FILE
from streams.stack import logfile, ports, process
from streams.stack.component import Component, Home, StartContext
from streams.stack.downloads import MAVEN_CENTRAL, Cache
from streams.stack.events import EventKind, Reporter, StackEvent
from streams.stack.kafka import Kafka
from streams.stack.lock import exclusive
from streams.stack.postgres import Postgres
from streams.stack.process_records import ProcessRecord
from streams.stack.registry import Registry
from streams.stack.state import ComponentState, StackState
from streams.stack.supervise import ProcessSupervisor, ServiceSpec
from streams.stack.task_group import TaskGroup, attempt

COMPONENTS: Mapping[str, Component] = {component.name: component for component in (Kafka(), Registry(), Postgres())}
# A port can be taken by another between our look and the component's own; then it is tried again with another port.
_PORT_TRIES = 3
# How long something that runs may take to answer before it is taken for hung.
_ANSWER_SECONDS = 15.0

OnEvent = Callable[[StackEvent], None]


class LocalStack:
    """Kafka, the registry and Postgres of one project, and whatever services of sluice run beside them.

    Every command on one home waits for the one before it; `status` never waits.
    """

    def __init__(self, home: Path, *, cache: Path | None = None, repository: str = MAVEN_CENTRAL) -> None:
        """`home` is usually `<project>/.sluice`; `cache` is shared by all of a user's projects."""
        self._home = Home(home.absolute())
        self._cache = Cache(cache or user_cache_path("sluice"), repository)
        self._ports = ports.PortAllocations(self._home.root / "ports.json")
        self._supervisor = ProcessSupervisor(self._home.records)

    def up(self, components: Sequence[str] = tuple(COMPONENTS), on_event: OnEvent | None = None) -> StackState:
        """Start what does not run. On failure or Ctrl-C, what this call began is stopped again, nothing else."""
        wanted = [_component(name) for name in components]
        report = Reporter(on_event)
        with self._exclusively(report) as work:
            self._home.make()
            context = StartContext(self._home, self._cache, report, work.check)
            self._all_or_nothing(
                work, {component.name: partial(self._ensure, component, context) for component in wanted}, report
            )
            self._write_addresses()
        return self.status()

    def run(self, services: Sequence[ServiceSpec], on_event: OnEvent | None = None) -> StackState:
        """Start sluice's own services that do not run yet, with the same promises as `up`."""
        report = Reporter(on_event)
        with self._exclusively(report) as work:
            self._all_or_nothing(
                work, {each.name: partial(self._serve, each, report, work) for each in services}, report
            )
        return self.status()

    def down(self, on_event: OnEvent | None = None, names: Sequence[str] | None = None) -> list[str]:
        """Stop everything (services first, then the components), or only `names`; returns what was running."""
        report = Reporter(on_event)
        with self._exclusively(report) as work:
            known = [name for name in self._supervisor.names() if names is None or name in names]
            services = [name for name in known if name not in COMPONENTS]
            components = [name for name in known if name in COMPONENTS]
            stopped = [*self._stop(services, report, work), *self._stop(components, report, work)]
            if names is None:
                self._supervisor.sweep()
            self._write_addresses()
        return stopped

    def status(self) -> StackState:
        services = tuple(self._state(name) for name in self._supervisor.names() if name not in COMPONENTS)
        return StackState(components=tuple(self._state(name) for name in COMPONENTS), services=services)

    def log(self, name: str) -> Path:
        """Where the log of a component or service lies."""
        return self._home.log(name)

    @contextmanager
    def _exclusively(self, report: Reporter) -> Iterator[TaskGroup]:
        def waiting() -> None:
            report(EventKind.WAITING, "", "another sluice command is at work on this stack; waiting for it")

        with attempt() as work, exclusive(self._home.root / "lock", on_wait=waiting, check=work.check):
            yield work

    def _all_or_nothing(self, work: TaskGroup, tasks: Mapping[str, Callable[[], bool]], report: Reporter) -> None:
        begun: list[str] = []

        def noted(name: str, task: Callable[[], bool]) -> None:
            if task():
                begun.append(name)

        try:
            work.run([partial(noted, name, task) for name, task in tasks.items()])
            work.check()
        except BaseException:
            self._stop(begun, report, TaskGroup())
            raise

    def _ensure(self, component: Component, context: StartContext) -> bool:
        """True when this call started the component."""
        if self._reused(component, context):
            return False
        self._supervisor.clear(component.name)  # first, so that a hung one gives its port back
        component.prepare(context)
        for left in reversed(range(_PORT_TRIES)):
            given = self._assign(component, context.report)
            service = component.service(self._home, given, self._cache)
            try:
                self._start(service, context.report, context.check)
                return True
            except StartupError:
                if left == 0 or all(ports.free(port) for port in given.values()):
                    raise
        return False

    def _serve(self, service: ServiceSpec, report: Reporter, work: TaskGroup) -> bool:
        if self._supervisor.running(service.name) is not None and self._answers(service, report, work.check):
            return False
        self._note_death(service.name, report)
        self._start(service, report, work.check)
        return True

    def _start(self, service: ServiceSpec, report: Reporter, check: Callable[[], None]) -> None:
        report(EventKind.STARTING, service.name, f"starting {service.name}")
        record = self._supervisor.start(service, check)
        where = f" at {_shown(record)}" if "address" in record.facts else ""
        report(EventKind.READY, service.name, f"{service.name} is ready{where}")

    def _reused(self, component: Component, context: StartContext) -> bool:
        given = {name: port for name, port in self._ports.recorded().items() if name in component.ports}
        if self._supervisor.running(component.name) is not None and given.keys() == component.ports.keys():
            service = component.service(self._home, given, self._cache)
            if self._answers(service, context.report, context.check):
                return True
        self._note_death(component.name, context.report)
        return False

    def _answers(self, service: ServiceSpec, report: Reporter, check: Callable[[], None]) -> bool:
        if not self._supervisor.answers(service, _ANSWER_SECONDS, check):
            if self._supervisor.running(service.name) is not None:
                report(EventKind.RECOVERED, service.name, f"{service.name} runs but does not answer; starting it again")
            return False
        logfile.bound(service.log)
        report(EventKind.REUSED, service.name, f"{service.name} is already running")
        return True

    def _note_death(self, name: str, report: Reporter) -> None:
        dead = self._supervisor.record(name)
        if dead is not None and self._supervisor.running(name) is None:
            report(EventKind.RECOVERED, name, f"{name} had died (pid {dead.process.pid} is gone); starting it again")

    def _assign(self, component: Component, report: Reporter) -> dict[str, int]:
        before = self._ports.recorded()
        given = {name: self._ports.assign(name, usual) for name, usual in component.ports.items()}
        for name, port in given.items():
            expected = before.get(name, component.ports[name])
            if port != expected:
                report(EventKind.PORT, component.name, f"port {expected} is in use; {name} gets {port}")
        return given

    def _stop(self, names: Sequence[str], report: Reporter, work: TaskGroup) -> list[str]:
        stopped: list[str] = []

        def stop(name: str) -> None:
            report(EventKind.STOPPING, name, f"stopping {name}")
            if self._supervisor.stop(name):
                stopped.append(name)
            report(EventKind.STOPPED, name, f"{name} has stopped")

        work.run([partial(stop, name) for name in names])
        return stopped

    def _state(self, name: str) -> ComponentState:
        record = self._supervisor.running(name)
        if record is None:
            return ComponentState(name, running=False, log=self._home.log(name), port=self._ports.recorded().get(name))
        return ComponentState(
            name,
            running=True,
            log=record.log,
            pid=record.process.pid,
            port=self._ports.recorded().get(name),
            address=record.facts.get("address"),
            version=record.facts.get("version"),
            rss=process.resident_bytes(record.process.pid),
            started_at=record.started_at,
        )

    def _write_addresses(self) -> None:
        """For whoever reads settings in this project; private, because the database's password is in it."""
        path = self._home.root / STACK_ENV_FILE
        addresses = self.status().env()
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
            f"The stack has no component {name!r}.", next_step=f"It has {', '.join(COMPONENTS)}."
        ) from None


def _shown(record: ProcessRecord) -> str:
    """The address without what stands before an @: a password has no place in a message."""
    return record.facts["address"].rpartition("@")[2]
