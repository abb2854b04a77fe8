"""A visit of one system: it is started, warmed up, measured and stopped."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.compare.figures import Visit, latency_of, open_loop_latency
from bench.compare.peers import PROGRAMS, SLUICE, Peer, client_command, command
from bench.compare.processes import Client, Processes, ReceiverProcess
from schemas.errors import SluiceError, StartupError
from streams.stack.usage import NONE, Usage, machine_cpu_s, usage_of_tree

_START_S = 90.0
#: A burst ends with an error if no callback comes for this long.
_STALL_S = 30.0
_POLL_S = 0.05
#: A warm-up burst that takes this long says how fast the system is.
_WARM_BURST_S = 1.0
_FIRST_BURST = 200
_MOST_JOBS = 200_000


@dataclass(frozen=True, slots=True)
class VisitPlan:
    """How much is measured in a visit.

    `jobs`: of the burst; None: as many as the system does in `seconds`. `samples`: jobs one at a time. `rate`: jobs a second of
    the open loop, which lasts `seconds`.
    """

    seconds: float
    jobs: int | None
    samples: int
    rate: float


#: Returns what each process of the measured system has used, by its name.
Usages = Callable[[], Mapping[str, Usage]]


def visit(
    peer: Peer, number: int, plan: VisitPlan, logs: Path, env: Mapping[str, str], shared: Mapping[str, int], own: Usages
) -> Visit:
    """Measure a system once. Its own services of the local stack run already, if it is sluice.

    `shared`: pids of the servers that peers use, by name. `own`: usage of services that were not started here.
    Raises SluiceError.
    """
    if absent := [server for server in peer.uses if server not in shared]:
        raise StartupError(
            f"{absent[0]} does not run.", next_step="See its log, or whether it exists for this machine."
        )
    name = f"{peer.name}-{uuid.uuid4().hex[:8]}"
    variables = {**env, **peer.env, "BENCH_VISIT": name}
    with Processes(logs, variables) as processes:
        receiver = ReceiverProcess(processes.start("receiver", ReceiverProcess.ARGV, talks=True))
        for service, arguments in peer.services.items():
            processes.start(f"{peer.name} {service}", command(arguments), PROGRAMS)
            if peer.ready is not None:
                processes.wait_for(f"{peer.name} {service}", peer.ready, _START_S)
        cwd = Path.cwd() if peer.name == SLUICE else PROGRAMS
        client = Client(processes.start("client", client_command(peer), cwd, talks=True))
        measuring = _Measuring(name, receiver, client, processes)

        def usages() -> dict[str, Usage]:
            pids = {**{server: shared[server] for server in peer.uses}, **processes.pids()}
            return {**{key.removeprefix(f"{peer.name} "): usage_of_tree(pid) for key, pid in pids.items()}, **own()}

        return _measure(peer.name, number, plan, measuring, usages)


def _measure(peer: str, number: int, plan: VisitPlan, measuring: _Measuring, usages: Usages) -> Visit:
    rate = measuring.warm_up(2 * _WARM_BURST_S)
    jobs = plan.jobs or min(_MOST_JOBS, max(_FIRST_BURST, round(rate * plan.seconds)))
    cpu, before = machine_cpu_s(), usages()
    burst = measuring.burst("burst", jobs)
    cpu, after = machine_cpu_s() - cpu, usages()
    idle = measuring.one_at_a_time(plan.samples)
    intended, arrived = measuring.paced(plan.rate, round(plan.rate * plan.seconds))
    return Visit(
        peer=peer,
        round=number,
        jobs=jobs,
        jobs_per_s=jobs / burst.seconds,
        submit_s=burst.submit_s,
        rows=measuring.rows("burst"),
        callbacks=burst.callbacks,
        duplicates=burst.duplicates,
        machine_cpu_ms=cpu * 1000 / jobs,
        cpu_us={name: max(0.0, used.cpu_s - before.get(name, NONE).cpu_s) * 1e6 / jobs for name, used in after.items()},
        rss_mb={name: used.rss / 1e6 for name, used in usages().items()},
        idle=latency_of(idle, lost=plan.samples - len(idle)),
        open_loop=open_loop_latency(intended, arrived, time.monotonic()),
    )


@dataclass(frozen=True, slots=True)
class _Burst:
    seconds: float
    submit_s: float
    callbacks: int
    duplicates: int


class _Measuring:
    """The phases of a visit. Each is a batch of its own: the name of the visit and of the phase."""

    def __init__(self, name: str, receiver: ReceiverProcess, client: Client, processes: Processes) -> None:
        self._name = name
        self._receiver = receiver
        self._client = client
        self._processes = processes

    def warm_up(self, seconds: float) -> float:
        """Run ever larger bursts until they have taken this long; returns the jobs per second of the last one.

        The first job waits until the system has started. Raises SluiceError if it does not come back.
        """
        if not self.one(0, _START_S, "first"):
            self._processes.check()
            raise SluiceError(f"The first job did not come back within {_START_S:.0f} s.", next_step="See its logs.")
        jobs, spent, took = _FIRST_BURST, 0.0, 0.0
        while True:
            took = self.burst(f"warm-up-{jobs}", jobs).seconds
            spent += took
            if spent >= seconds or took >= _WARM_BURST_S or jobs >= _MOST_JOBS:
                return jobs / took
            jobs *= 2

    def burst(self, phase: str, jobs: int) -> _Burst:
        before = self._receiver.stats()
        sent = self._client.ask("burst", batch=f"{self._name}-{phase}", count=jobs, url=self._receiver.url)
        stats = self._all_back(before["unique"] + jobs)
        new = int(stats["unique"] - before["unique"])
        return _Burst(
            seconds=stats["last_new_at"] - sent["started"],
            submit_s=sent["submitted"] - sent["started"],
            callbacks=new,
            duplicates=int(stats["requests"] - before["requests"]) - new,
        )

    def one(self, number: int, timeout_s: float, phase: str) -> list[float]:
        """Submit one job and wait for its callback; returns its milliseconds, nothing if it does not come back."""
        sent = self._client.ask(
            "one", batch=f"{self._name}-{phase}", number=number, url=f"{self._receiver.url}{phase}/"
        )
        came = self._receiver.wait_for(phase, {number}, timeout_s)
        return [(came[number] - sent["at"]) * 1000] if came else []

    def one_at_a_time(self, samples: int) -> list[float]:
        """Return the milliseconds of jobs of which each waits for the one before it."""
        pause, waits = random.Random(1), list[float]()
        for number in range(samples):
            waits += self.one(number, _STALL_S, "idle")
            time.sleep(pause.uniform(0.002, 0.02))  # so that jobs do not fall in step with a timer in the system
        return waits

    def paced(self, rate: float, jobs: int) -> tuple[list[float], dict[int, float]]:
        """Submit jobs at a fixed rate; returns when each was to be sent, and when its callback came."""
        batch, url = f"{self._name}-paced", f"{self._receiver.url}paced/"
        intended = list(self._client.ask("paced", batch=batch, count=jobs, rate=rate, url=url)["intended"])
        return intended, self._receiver.wait_for("paced", set(range(jobs)), _STALL_S)

    def rows(self, phase: str) -> int:
        return int(self._client.ask("rows", batch=f"{self._name}-{phase}")["rows"])

    def _all_back(self, wanted: float) -> Mapping[str, float]:
        received, since = -1.0, time.monotonic()
        while True:
            stats = self._receiver.stats()
            if stats["unique"] >= wanted:
                return stats
            self._processes.check()
            if stats["unique"] > received:
                received, since = stats["unique"], time.monotonic()
            elif time.monotonic() - since > _STALL_S:
                missing = wanted - stats["unique"]
                raise SluiceError(f"{missing:.0f} callbacks are missing, and none came in {_STALL_S:.0f} s.")
            time.sleep(_POLL_S)
