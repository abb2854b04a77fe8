"""A world: a simulation with a log, a database, a registry, objects and backends in memory, and the services on it."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.memory import Clock, MemoryDatabase
from schemas.contract import contract
from schemas.registry import MemoryRegistry
from schemas.topics import declared
from streams import wiring
from streams.log.memory import MemoryLog
from streams.settings import Settings
from tests.harness.processors.leased import LEASED
from tests.injection.child import InProcessChild
from tests.injection.event_loop import SimulatedLoop
from tests.injection.injector import Injector
from tests.injection.ports import Backend, InjectedLog, Port
from tests.injection.primitives import EPOCH_S, simulated_modules
from tests.injection.simulation import Simulation, current

STORES = ("sink_store", "due_store", "command_store", "delivery_store", "lease_store", "payload_store")
PARTITIONS = 2
SIMULATED = ("streams.sink", "streams.worker", "streams.timekeeper", "streams.notify", "streams.log", "streams.health")


class SimulatedClock(Clock):
    """The database's clock, in virtual time."""

    def now(self) -> datetime:
        at = datetime.fromtimestamp(EPOCH_S, UTC) + timedelta(seconds=current().now)
        self._last = max(at, self._last + timedelta(microseconds=1))
        return self._last


class LogEvent:
    """A line of a service's log."""

    __slots__ = ("at", "event", "fields", "level", "process")

    def __init__(self, level: str, fields: dict[str, Any]) -> None:
        self.at, self.process = current().now, current().running.process
        self.level, self.event, self.fields = level, str(fields.pop("event", "")), fields


class World:
    def __init__(self, injector: Injector, home: Path) -> None:
        self.injector = injector
        self.simulation = Simulation()
        self.simulation.begin()
        self.name = f"injection-{uuid.uuid4().hex}"
        self.logs: list[LogEvent] = []
        self.clock = SimulatedClock()
        self.database = MemoryDatabase(self.clock)
        self.log = InjectedLog(injector)
        self.log.now_ms = lambda: int((EPOCH_S + self.simulation.now) * 1000)
        self.backend = Backend(injector)
        MemoryDatabase.name(self.name, self.database)
        MemoryLog.name(self.name, self.log)
        address = f"memory:{self.name}"
        self.settings = Settings(
            kafka_bootstrap_servers=address,
            schema_registry_url=address,
            database_url=SecretStr(address),
            home=home,
            objects_url=(home / "objects").as_uri(),
            topic_prefix="",
            partitions=PARTITIONS,
            processors=("echo", "leased"),
            callback_allow=("backend.example",),
            drain_s=10.0,
        )
        registry = MemoryRegistry.at(address)
        assert registry is not None
        for topic in declared([contract("echo"), LEASED], self.settings.topics, PARTITIONS):
            self.log.create_topic(topic.name, topic.partitions, topic.config())
            if topic.schema is not None:
                registry.register(topic.subject, topic.schema)
        self._seed_group("workers.echo", [self.settings.topics.requests("echo", lane) for lane in ("live", "bulk")])

    def _seed_group(self, group: str, topics: list[str]) -> None:
        """Commit each partition's beginning, as `sluice topics apply` does."""
        from streams.log.memory.group import Committed

        for topic in topics:
            for partition in range(PARTITIONS):
                self.log.group(group).committed[topic, partition] = Committed(0, None)

    def close(self) -> None:
        self.simulation.end()
        for twin in (MemoryDatabase, MemoryLog, MemoryRegistry):
            twin.forget(self.name)


_world: World | None = None


@contextmanager
def world(injector: Injector) -> Iterator[World]:
    """Open a world within `simulated`; everything in it is killed at the end."""
    global _world
    with tempfile.TemporaryDirectory(prefix="sluice-injection-") as home:
        _world = opened = World(injector, Path(home))
        InProcessChild.clock = opened.clock
        try:
            yield opened
        finally:
            opened.close()
            _world = None


def opened() -> World:
    assert _world is not None
    return _world


@contextmanager
def simulated() -> Iterator[None]:
    """Let the services' modules run on the simulation, in whichever world is open."""
    import structlog

    import streams.notify.inline
    import streams.notify.service
    import streams.sink
    import streams.timekeeper
    import streams.worker.kafka_transport  # a worker loads it late
    import streams.worker.supervision.supervisor
    import streams.worker.worker
    from schemas.contract import installed

    with ExitStack() as stack:
        stack.enter_context(installed(LEASED))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        stack.enter_context(simulated_modules(*SIMULATED, "connectors.memory"))
        for module in (streams.notify.service, streams.notify.inline):
            patch.setattr(module, "loop_factory", lambda: SimulatedLoop)
        for target in ("sink.sink.tune_gc", "notify.service.tune_gc", "worker.worker._quiet_the_collector"):
            patch.setattr(f"streams.{target}", lambda: None)
        patch.setattr("connectors.callbacks.deliver.post", lambda *args: opened().backend.post(*args))
        patch.setattr(streams.worker.supervision.supervisor, "ChildProcess", InProcessChild)
        for name in (*STORES, "registry", "object_store"):
            patch.setattr(wiring, name, _ported(name, getattr(wiring, name)))
        # Tests of other modules follow in this process, and outside a world nothing may be captured.
        stack.callback(structlog.configure, **structlog.get_config())
        structlog.configure(processors=[structlog.stdlib.add_log_level, _capture])
        yield


def _ported(name: str, make: Any) -> Any:
    port = {"object_store": "objects"}.get(name, name)

    def make_port(*args: Any, **options: Any) -> Any:
        target = make(*args, **options)
        if name == "due_store":  # the session ends with its process, and leadership with the session
            current().running.process.on_kill.append(target.close)
        return Port(opened().injector, port, target)

    return make_port


def _capture(_: Any, level: str, fields: MutableMapping[str, Any]) -> Any:
    import structlog

    opened().logs.append(LogEvent(level, dict(fields)))
    raise structlog.DropEvent
