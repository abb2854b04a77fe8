"""The system under test: Kafka, registry and Postgres behind proxies, and all services, each a process that may be killed.

Nothing is shared with other tests, because here the broker and the database are killed, too.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import psutil
from platformdirs import user_cache_path

from connectors.postgres import migrate
from streams.admin import topics
from streams.settings import Settings
from streams.stack.component import Component, Home, StartContext
from streams.stack.downloads import MAVEN_CENTRAL, Cache
from streams.stack.events import Reporter
from streams.stack.kafka import CONTROLLER, Kafka
from streams.stack.postgres import Postgres
from streams.stack.registry import Registry
from streams.stack.supervise import ProcessSupervisor, ServiceSpec, never_cancelled
from tests.faults.proxy import HOST, Proxy, ProxyLoop
from tests.faults.shim import Shim
from tests.harness.processors import chores
from tests.harness.services import Service

PROCESSORS = ("chore", "queue", "errand")
#: Workers differ in their arguments, so that each has a log of its own.
SERVICES: Mapping[str, tuple[str, ...]] = {
    "sink": ("sink",),
    "timekeeper": ("timekeeper",),
    "notify": ("notify",),
    "worker": ("worker", *PROCESSORS),
    "helper": ("worker", "chore", "queue", "--device", "cpu"),
}
EXTRA = ("worker", *PROCESSORS, "--device", "auto")
#: Seconds until a service that ended by itself is started again.
RESTART_S = 1.0
_STOP_S = 45.0
_ANSWER_S = 5.0


class ProxiedKafka(Kafka):
    """Has a second listener, whose advertised address is the proxy's: clients that come through it stay behind it."""

    def __init__(self, behind: int, proxy: int) -> None:
        self._behind, self._proxy = behind, proxy

    def service(self, home: Home, ports: Mapping[str, int], cache: Cache) -> ServiceSpec:
        spec = super().service(home, ports, cache)
        path = home.data(self.name) / "server.properties"
        lines = [self._with_listener(line) for line in path.read_text().splitlines()]
        path.write_text("\n".join(lines) + "\n")
        return spec

    def _with_listener(self, line: str) -> str:
        if line.startswith("listeners="):
            return f"{line},PROXIED://{HOST}:{self._behind}"
        if line.startswith("advertised.listeners="):
            return f"{line},PROXIED://{HOST}:{self._proxy}"
        return f"{line},PROXIED:PLAINTEXT" if line.startswith("listener.security.protocol.map=") else line


@dataclass
class Addresses:
    """`direct`: past the proxies, for the checker. `proxied`: for the services and the driver."""

    direct: Settings
    proxied: Settings


@dataclass
class Cluster:
    """Starts, kills, freezes and starts again. `lock_of`: a target is handled by one thread at a time."""

    folder: Path
    supervisor: ProcessSupervisor
    context: StartContext
    components: Mapping[str, Component]
    ports: Mapping[str, Mapping[str, int]]
    proxies: Mapping[str, Proxy]
    addresses: Addresses
    shims: Mapping[str, Shim]
    services: dict[str, Service] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)
    exits: list[tuple[float, str, int]] = field(default_factory=list)
    stopped: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    # ── components ──

    def spec(self, name: str) -> ServiceSpec:
        spec = self.components[name].service(self.context.home, self.ports[name], self.context.cache)
        shim = self.shims.get(name)
        return spec if shim is None else replace(spec, env={**spec.env, **shim.environment})

    def start_component(self, name: str) -> None:
        self.supervisor.clear(name)
        self.components[name].prepare(self.context)
        self.supervisor.start(self.spec(name))

    def ensure_component(self, name: str) -> None:
        """Start a component again unless it still answers."""
        if not self.supervisor.answers(self.spec(name), _ANSWER_S):
            self.start_component(name)

    def stop_component(self, name: str) -> None:
        self.supervisor.stop(name)

    # ── processes ──

    def family(self, name: str) -> list[int]:
        """Return the process ids of a service or component: its own, then its children's."""
        pid = self._pid(name)
        if pid is None:
            return []
        with suppress(psutil.NoSuchProcess):
            return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
        return []

    def send(self, pids: Iterable[int], number: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _pid(self, name: str) -> int | None:
        if name in self.components:
            record = self.supervisor.running(name)
            return None if record is None else record.process.pid
        service = self.services.get(name)
        return service.pid if service is not None and service.process.poll() is None else None

    # ── services ──

    def start_service(self, name: str) -> None:
        with self.lock:
            if self.stopped:
                return
            if name in self.services:
                if self.services[name].process.poll() is None:
                    return
                self.services[name].start()
            else:
                self.services[name] = Service(self.addresses.proxied, SERVICES.get(name, EXTRA))
            self.wanted.add(name)

    def stop_service(self, name: str) -> None:
        """End it by SIGTERM, as a deploy does."""
        with self.lock:
            self.wanted.discard(name)
            service = self.services[name]
            if service.process.poll() is None:
                service.process.terminate()
        service.process.wait(_STOP_S)

    def kill_service(self, name: str) -> None:
        with self.lock:
            self.wanted.discard(name)
            service = self.services.get(name)
            if service is not None and service.process.poll() is None:
                service.kill()

    def keep_running(self, stop: threading.Event) -> None:
        """Start services again that ended by themselves, as a service manager does, and note each such end."""
        while not stop.wait(0.2):
            with self.lock:
                for name in list(self.wanted):
                    status = self.services[name].process.poll()
                    if status is not None:
                        self.exits.append((time.time(), name, status))
                        self.wanted.discard(name)
                        threading.Timer(RESTART_S, self.start_service, (name,)).start()

    def stop_all(self) -> dict[str, int]:
        """Stop every service for good; return the exit statuses."""
        with self.lock:
            self.stopped = True
        for service in self.services.values():
            if service.process.poll() is None:
                service.process.terminate()
        return {name: service.process.wait(_STOP_S) for name, service in self.services.items()}


@contextmanager
def cluster(folder: Path, shims: Mapping[str, Shim]) -> Iterator[Cluster]:
    """Run the components and make topics, schemas and tables; services are started by the caller.

    `shims`: by component, the library that fills its disk.
    """
    home = Home(folder.absolute() / "stack")
    home.make()
    with ExitStack() as stack:
        loops = stack.enter_context(ProxyLoop())
        behind, proxy_port, *rest = _free_ports(8)
        made_of: dict[str, Component] = {
            "kafka": ProxiedKafka(behind, proxy_port),
            "registry": Registry(),
            "postgres": Postgres(),
        }
        ports = {"kafka": {"kafka": rest[0], CONTROLLER: rest[1]}, "registry": {"registry": rest[2]}}
        ports["postgres"] = {"postgres": rest[3]}
        supervisor = ProcessSupervisor(home.records)
        cache = Cache(user_cache_path("sluice"), MAVEN_CENTRAL)
        context = StartContext(home, cache, Reporter(None), never_cancelled)
        proxies = {
            "kafka": Proxy(loops, proxy_port, behind),
            "registry": Proxy(loops, rest[4], rest[2]),
            "postgres": Proxy(loops, rest[5], rest[3]),
        }
        for name in made_of:
            stack.callback(supervisor.stop, name)
        made = Cluster(folder, supervisor, context, made_of, ports, proxies, _unset(), shims)
        in_parallel([partial(made.start_component, name) for name in made_of])
        made.addresses = _addresses(made)
        topics.apply(made.addresses.direct, chores.CONTRACTS)
        migrate(made.addresses.direct.database)
        yield made


def in_parallel(calls: Iterable[Callable[[], object]]) -> None:
    """Make all calls at once; raise the first one's error."""
    errors: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 (raised below)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _unset() -> Addresses:
    return Addresses(Settings(), Settings())


def _addresses(made: Cluster) -> Addresses:
    specs = {name: made.spec(name).facts["address"] for name in made.components}

    def through(name: str) -> str:
        return specs[name].replace(f":{made.ports[name][name]}", f":{made.proxies[name].port}")

    def settings(kafka: str, registry: str, postgres: str) -> Settings:
        return Settings(
            kafka_bootstrap_servers=kafka,
            schema_registry_url=registry,
            database_url=postgres,
            home=made.folder / "home",
            partitions=3,
            callback_allow=("127.0.0.0/8",),
            notify="service",
        )

    return Addresses(
        settings(specs["kafka"], specs["registry"], specs["postgres"]),
        settings(through("kafka"), through("registry"), through("postgres")),
    )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
