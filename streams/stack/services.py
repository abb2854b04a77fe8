"""The services that `sluice up` runs beside the stack: sinks, timekeeper, gateway, workers of each processor, supervisor.

A second sink is `sink.2`, a second worker of echo `worker-echo.2`. Each is a process of its own (`sluice COMMAND`; the
supervisor is a module), and counts as ready once its log says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from schemas.contract import contract
from streams.environment import environment, python_module
from streams.health.watchdog import CLOSE_S
from streams.settings import Settings
from streams.stack import LocalStack, ServiceSpec
from streams.stack.counts import usable_cores, useful_light_workers, useful_sinks
from streams.stack.state import ENVIRONMENT_NAMES

#: The service that starts the others again (stack_supervisor.py).
SUPERVISOR = "supervisor"
GATEWAY = "gateway"
#: The log event of each command that says it is ready for work.
READY_EVENTS = {
    SUPERVISOR: "supervisor_ready",
    "worker": "worker_ready",
    "sink": "partitions_assigned",
    "timekeeper": "leadership_acquired",
    "notify": "notify_started",
    GATEWAY: "gateway_ready",
    "router": "router_ready",
}
#: Defaults for a stack whose backend is on the same machine; elsewhere a callback must not go to the loopback.
LOCAL = {"SLUICE_CALLBACK_ALLOW": "localhost", "SLUICE_GATEWAY_AUTH": "open"}
_TAIL_BYTES = 64 * 1024


def services(settings: Settings, stack: LocalStack, addresses: Mapping[str, str]) -> list[ServiceSpec]:
    """Return all services for these settings."""
    return [service(settings, stack, addresses, name) for name in service_names(settings)]


def service_names(settings: Settings) -> list[str]:
    """Return the names of all services. Each processor has workers of its own, so a broken one blocks no other."""
    sinks, light = process_counts(settings)
    names = [*_numbered("sink", sinks), "timekeeper", GATEWAY, *(["notify"] * (settings.notify == "service"))]
    names += ["router"] * (settings.router_rules is not None)
    for processor in settings.served_processors:
        names += _numbered(f"worker-{processor}", light if contract(processor).light else 1)
    return names


def process_counts(settings: Settings) -> tuple[int, int]:
    """Return how many sinks run, and how many workers of each light processor: as set, else what the cores make useful."""
    cores, partitions = usable_cores(), settings.partitions
    return (
        settings.sinks or useful_sinks(cores, partitions),
        settings.light_workers or useful_light_workers(cores, partitions),
    )


def kind_of(name: str) -> str:
    """Return a service's name without its number: `sink` for `sink.2`."""
    return name.partition(".")[0]


def _numbered(kind: str, count: int) -> list[str]:
    return [kind, *(f"{kind}.{number}" for number in range(2, count + 1))]


def service(settings: Settings, stack: LocalStack, addresses: Mapping[str, str], name: str) -> ServiceSpec:
    """Return the service of this name: sink, timekeeper, gateway, notify, router, or worker-PROCESSOR; also with a number."""
    command = kind_of(name).split("-", 1)
    needed = {variable: address for variable, address in addresses.items() if variable != ENVIRONMENT_NAMES[GATEWAY]}
    facts = {variable: address.rpartition("@")[2] for variable, address in needed.items()}  # without the password
    own: dict[str, str] = {}
    if name == GATEWAY:
        own["SLUICE_GATEWAY_ADDRESS"] = _gateway_address(settings, stack)
        facts["address"] = f"http://{own['SLUICE_GATEWAY_ADDRESS']}"
    return ServiceSpec(
        name=name,
        argv=tuple(python_module("streams.cli", *command)),
        log=stack.log(name),
        env={**_environment(settings, needed), **own},
        ready=_readiness(stack, name, READY_EVENTS[command[0]]),
        start_seconds=ServiceSpec.start_seconds + (settings.load_timeout_s if command[0] == "worker" else 0.0),
        stop_seconds=settings.drain_s + CLOSE_S + 2.0,  # longer than the service's own limit, which logs the reason
        facts=facts,
    )


def _gateway_address(settings: Settings, stack: LocalStack) -> str:
    """Return where the gateway listens: as set, else at its default port or another one that is free."""
    if "gateway_address" in settings.model_fields_set:
        return settings.gateway_address
    host, _, port = settings.gateway_address.rpartition(":")
    return f"{host}:{stack.service_port(GATEWAY, int(port))}"


def supervisor(settings: Settings, stack: LocalStack) -> ServiceSpec:
    """Return the supervisor. Each `sluice up` starts a new one, so that it has the settings of the last `up`."""
    return ServiceSpec(
        name=SUPERVISOR,
        argv=tuple(python_module("streams.stack.stack_supervisor")),
        log=stack.log(SUPERVISOR),
        env=_environment(settings, {}),
        ready=_readiness(stack, SUPERVISOR, READY_EVENTS[SUPERVISOR], reuse=False),
        replaces=True,
    )


def _environment(settings: Settings, addresses: Mapping[str, str]) -> dict[str, str]:
    rules = settings.router_rules
    paths = {"SLUICE_HOME": str(settings.home)} | (
        {} if rules is None else {"SLUICE_ROUTER_RULES": str(rules.absolute())}
    )
    return {**LOCAL, **environment(), **addresses, **paths, "SLUICE_LOG_FORMAT": "json"}


def _readiness(stack: LocalStack, name: str, event: str, *, reuse: bool = True) -> Callable[[], bool]:
    """Return a function that says whether the service is ready: it has logged `event` since now, or ran before (`reuse`).

    A service that ran before was ready then, and its log line may be hours and megabytes back.
    """
    log, since, before = stack.log(name), datetime.now(UTC), _pid(stack, name) if reuse else None
    return lambda: has_logged(log, event, since) or (before is not None and _pid(stack, name) == before)


def _pid(stack: LocalStack, name: str) -> int | None:
    return next((state.pid for state in stack.status().services if state.name == name and state.running), None)


def has_logged(log: Path, event: str, since: datetime) -> bool:
    """Return whether the end of a JSON log has a line with this event that is not older than `since`."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return False
    return any(_is_event(line, event, since) for line in lines)


def _is_event(line: bytes, event: str, since: datetime) -> bool:
    if event.encode() not in line:
        return False
    try:
        entry = json.loads(line)
        return bool(entry["event"] == event and datetime.fromisoformat(entry["timestamp"]) >= since)
    except (ValueError, KeyError, TypeError):
        return False
