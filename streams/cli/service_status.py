"""What runs on this machine, gathered: the parts of the local stack, every service that left a note, and the groups' lag."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import SluiceError
from streams.health.ask import HealthAnswer, ask_all
from streams.log.lag import Lag, lags
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.stack import PartState, StackState


@dataclass(frozen=True, slots=True)
class ServiceState:
    """`by_hand`: not started by `sluice up`. `alive`, `ready`: None when it could not be asked. `told`: what it says of itself
    at /status."""

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
    told: dict[str, Any] | None = None

    @property
    def word(self) -> str:
        if not self.running:
            return "stopped"
        if self.alive is False:
            return "hangs"
        return {True: "ready", False: "not ready", None: "running"}[self.ready]

    @property
    def engines(self) -> list[dict[str, Any]]:
        """A worker's processors."""
        return list((self.told or {}).get("engines", []))


@dataclass(frozen=True, slots=True)
class Overview:
    """`lag_fault`: why the lag is not known."""

    parts: Sequence[PartState]
    services: Sequence[ServiceState]
    lag: Sequence[Lag] = ()
    lag_fault: str | None = None

    @property
    def sound(self) -> bool:
        """Whether everything runs, and nothing hangs."""
        return all(part.running for part in self.parts) and all(
            service.running and service.alive is not False for service in self.services
        )


def collect(settings: Settings) -> Overview:
    """Never raises for what is away: that is what it tells."""
    with ThreadPoolExecutor(2) as pool:
        answers = pool.submit(ask_all, settings.home)
        lag, fault = _lag(settings)
        stack = _stack(settings)
        parts = () if stack is None else stack.parts
        begun = () if stack is None else stack.services
        return Overview(parts, merge(begun, answers.result()), lag, fault)


def stopped(settings: Settings) -> list[PartState]:
    """Services that `sluice up` had started and that run no more, while its Kafka or Postgres does."""
    state = _stack(settings)
    if state is None or not any(part.running for part in state.parts):
        return []
    return [service for service in state.services if not service.running]


def merge(begun: Sequence[PartState], answers: Sequence[HealthAnswer]) -> list[ServiceState]:
    """What `sluice up` began, with what those services say; then those that were started by hand. Pure."""
    by_pid = {answer.note.pid: answer for answer in answers if answer.note.here}
    services = [_begun(part, by_pid.pop(part.pid, None) if part.pid is not None else None) for part in begun]
    known = {part.pid for part in begun}
    return services + [_by_hand(answer) for answer in answers if answer.note.pid not in known or not answer.note.here]


def _begun(part: PartState, answer: HealthAnswer | None) -> ServiceState:
    state = ServiceState(part.name, part.running, pid=part.pid, rss=part.rss, started_at=part.started_at, log=part.log)
    return state if answer is None or not part.running else _with(state, answer)


def _by_hand(answer: HealthAnswer) -> ServiceState:
    note = answer.note
    name = " ".join([note.service, *note.runs])
    return _with(ServiceState(name, True, by_hand=True, pid=note.pid, started_at=note.started_at), answer)


def _with(state: ServiceState, answer: HealthAnswer) -> ServiceState:
    return replace(
        state,
        alive=answer.alive,
        ready=answer.ready,
        reasons=tuple(answer.reasons),
        rss=state.rss or (answer.status or {}).get("rss"),
        address=answer.note.url or None,
        told=answer.status,
    )


def _stack(settings: Settings) -> StackState | None:
    """None where the local stack's libraries are not installed: then there is none."""
    if find_spec("platformdirs") is None:
        return None
    from streams.stack import LocalStack

    stack = LocalStack(settings.home)
    state = stack.status()
    begun = any(part.running for part in state.parts) or state.services
    # With Kafka elsewhere nothing of the local stack is missing.
    return state if begun or not settings.kafka_bootstrap_servers else None


def _lag(settings: Settings) -> tuple[Sequence[Lag], str | None]:
    from streams import wiring

    try:
        return lags(settings, wiring.contracts(settings)), None
    except SluiceError as error:
        return (), error.message
