"""Collects what `sluice status` shows: the local stack's components, every registered service, and consumer lag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import SluiceError, Unreachable
from streams.admin.lag import Lag, lags
from streams.health.ask import HealthAnswer, ask_all
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.stack import ComponentState, Restarts, StackState


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service, as `sluice status --json` prints it.

    `by_hand`: not started by `sluice up`. `alive`, `ready`: None if the service could not be asked. `status`: the service's own
    answer to GET /status.
    """

    name: str
    running: bool
    by_hand: bool = False
    alive: bool | None = None
    ready: bool | None = None
    reasons: Sequence[str] = ()
    pid: int | None = None
    rss: int | None = None
    started_at: datetime | None = None
    log: Path | None = None
    address: str | None = None
    status: dict[str, Any] | None = None

    @property
    def state(self) -> str:
        """The service's state in the table: stopped, hung, ready, not ready, or running (could not be asked)."""
        if not self.running:
            return "stopped"
        if self.alive is False:
            return "hung"
        return {True: "ready", False: "not ready", None: "running"}[self.ready]

    @property
    def gateway(self) -> str | None:
        """The URL of the gateway that a lab worker works for; None for any other service."""
        return (self.status or {}).get("gateway")

    @property
    def reaches(self) -> bool:
        """False if it says that it can't reach what it works for."""
        return (self.status or {}).get("reachable") is not False

    @property
    def engines(self) -> list[dict[str, Any]]:
        """A worker's processors."""
        return list((self.status or {}).get("engines", []))


@dataclass(frozen=True, slots=True)
class OpenCircuit:
    """A worker that doubts itself or has stopped taking jobs of a processor, because its last jobs failed alike."""

    worker: str
    processor: str
    state: str
    reason: str
    since: str
    opened: int

    def __str__(self) -> str:
        left = f", left its group {self.opened} times" if self.opened else ""
        return f"{self.processor}: circuit {self.state} since {self.since}{left}: {self.reason}"


def open_circuits(worker: str, status: Mapping[str, Any] | None) -> list[OpenCircuit]:
    """Return the circuits in a worker's status that are not closed. `worker`: the name of its service."""
    engines = [(engine, engine.get("circuit") or {}) for engine in (status or {}).get("engines", [])]
    return [
        OpenCircuit(
            worker,
            str(engine.get("processor")),
            str(circuit["state"]),
            str(circuit.get("reason") or "no reason known"),
            str(circuit.get("since")),
            int(circuit.get("opened") or 0),
        )
        for engine, circuit in engines
        if circuit.get("state", "closed") != "closed"
    ]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that `sluice status` shows. `lag_error`: why the lag could not be read."""

    components: Sequence[ComponentState]
    services: Sequence[ServiceState]
    lag: Sequence[Lag] = ()
    lag_error: str | None = None
    #: What failed since the last `sluice up`.
    restarts: Sequence[Restarts] = ()
    #: Kafka did not answer, wherever it runs.
    kafka_unreachable: bool = False
    #: On a lab machine: the gateway did not answer a worker.
    gateway_unreachable: bool = False

    @property
    def healthy(self) -> bool:
        """True if everything runs, nothing hangs, and Kafka answers. A service that waits for another is healthy."""
        return (
            not (self.kafka_unreachable or self.gateway_unreachable)
            and all(component.running for component in self.components)
            and all(service.running and service.alive is not False for service in self.services)
        )


def collect(settings: Settings) -> Overview:
    """Ask everything at once. Never raises for something unavailable; the overview says so instead."""
    with ThreadPoolExecutor(2) as pool:
        answers = pool.submit(ask_all, settings.home)
        lag, error, unreachable = _lag(settings)
        stack = _stack(settings)
        components = () if stack is None else stack.components
        started = () if stack is None else stack.services
        restarts = () if stack is None else stack.restarts
        services = merge(started, answers.result())
        if _is_lab_machine(settings, services):
            return Overview((), services, gateway_unreachable=any(not each.reaches for each in services))
        return Overview(components, services, lag, error, restarts, unreachable)


def _is_lab_machine(settings: Settings, services: Sequence[ServiceState]) -> bool:
    """True if nothing runs here but workers of a gateway: then there is no Kafka to ask, and no local stack to miss."""
    named = bool(settings.worker_gateway) and not settings.kafka_bootstrap_servers
    return all(each.gateway for each in services) and (named or bool(services))


def stopped(settings: Settings) -> list[ComponentState]:
    """Return what `sluice up` started, and `sluice down` did not stop, and that no longer runs."""
    state = _stack(settings)
    started = [] if state is None else [*(each for each in state.components if each.started_at), *state.services]
    return [each for each in started if not each.running]


def restarts(settings: Settings) -> Sequence[Restarts]:
    """Return what failed since the last `sluice up`."""
    state = _stack(settings)
    return () if state is None else state.restarts


def merge(started: Sequence[ComponentState], answers: Sequence[HealthAnswer]) -> list[ServiceState]:
    """Join the services `sluice up` started with the answers of their processes, then add those started by hand. Pure."""
    by_pid = {answer.service_file.pid: answer for answer in answers if answer.service_file.here}
    services = [_started(each, by_pid.pop(each.pid, None) if each.pid is not None else None) for each in started]
    known = {each.pid for each in started}
    return services + [
        _by_hand(answer) for answer in answers if answer.service_file.pid not in known or not answer.service_file.here
    ]


def _started(process: ComponentState, answer: HealthAnswer | None) -> ServiceState:
    state = ServiceState(
        process.name,
        process.running,
        pid=process.pid,
        rss=process.rss,
        started_at=process.started_at,
        log=process.log,
    )
    return state if answer is None or not process.running else _with_answer(state, answer)


def _by_hand(answer: HealthAnswer) -> ServiceState:
    service = answer.service_file
    name = " ".join([service.service, *service.runs])
    return _with_answer(ServiceState(name, True, by_hand=True, pid=service.pid, started_at=service.started_at), answer)


def _with_answer(state: ServiceState, answer: HealthAnswer) -> ServiceState:
    return replace(
        state,
        alive=answer.alive,
        ready=answer.ready,
        reasons=tuple(answer.reasons),
        rss=state.rss or (answer.status or {}).get("rss"),
        address=answer.service_file.url or None,
        status=answer.status,
    )


def _stack(settings: Settings) -> StackState | None:
    """Return the local stack's state; None if it is not installed, or if it was never used and Kafka runs elsewhere."""
    if find_spec("platformdirs") is None:
        return None
    from streams.stack import LocalStack

    state = LocalStack(settings.home).status()
    used = any(component.running for component in state.components) or state.services
    return state if used or not settings.kafka_bootstrap_servers else None


def _lag(settings: Settings) -> tuple[Sequence[Lag], str | None, bool]:
    """Return the lag, else why it could not be read, and whether Kafka was unreachable."""
    from streams import wiring

    try:
        return lags(settings, wiring.contracts(settings)), None, False
    except SluiceError as error:
        return (), error.message, isinstance(error, Unreachable)
