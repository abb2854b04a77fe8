"""The services that `sluice up` runs beside the stack: one worker a processor, the sink and the timekeeper.

Each is `sluice <verb>` in a process of its own, and ready once it has logged so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from schemas.contract import known_processors
from streams.health.watchdog import CLOSE_S
from streams.settings import Settings, environment
from streams.stack import LocalStack, ServiceSpec

#: What each verb logs once it takes work.
READY_EVENTS = {
    "worker": "worker_ready",
    "sink": "partitions_assigned",
    "timekeeper": "leadership_acquired",
    "notify": "notify_started",
}
#: Defaults of a stack on one machine, where the backend is on it too; elsewhere loopback is no place for a callback.
LOCAL = {"SLUICE_CALLBACK_ALLOW": "localhost"}
_TAIL_BYTES = 64 * 1024


def services(settings: Settings, stack: LocalStack, addresses: Mapping[str, str]) -> list[ServiceSpec]:
    """All of them, as the settings want them. A worker each: a slow or broken processor hinders no other."""
    processors = settings.processors or tuple(known_processors())
    commands = [["sink"], ["timekeeper"], *([["notify"]] * (settings.notify == "service"))]
    commands += [["worker", processor] for processor in processors]
    return [_service(settings, stack, addresses, command) for command in commands]


def _service(settings: Settings, stack: LocalStack, addresses: Mapping[str, str], command: list[str]) -> ServiceSpec:
    name = "-".join(command)
    return ServiceSpec(
        name=name,
        argv=(sys.executable, "-m", "streams.cli", *command),
        log=stack.log(name),
        env={**LOCAL, **environment(), **addresses, "SLUICE_HOME": str(settings.home), "SLUICE_LOG_FORMAT": "json"},
        ready=_readiness(stack, name, READY_EVENTS[command[0]]),
        stop_seconds=settings.drain_s + CLOSE_S + 2.0,  # it ends itself before, and says why
    )


def _readiness(stack: LocalStack, name: str, event: str) -> Callable[[], bool]:
    """Whether the service takes work: it has logged so since now, or it is the process that runs already.

    The line of the latter may be hours and megabytes back, and it would not have been left running without it.
    """
    log, since, before = stack.log(name), datetime.now(UTC), _pid(stack, name)
    return lambda: has_logged(log, event, since) or (before is not None and _pid(stack, name) == before)


def _pid(stack: LocalStack, name: str) -> int | None:
    return next((state.pid for state in stack.status().services if state.name == name and state.running), None)


def has_logged(log: Path, event: str, since: datetime) -> bool:
    """Whether the end of a JSON log has a line with this event that is not older than `since`."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return False
    return any(_tells(line, event, since) for line in lines)


def _tells(line: bytes, event: str, since: datetime) -> bool:
    if event.encode() not in line:
        return False
    try:
        told = json.loads(line)
        return bool(told["event"] == event and datetime.fromisoformat(told["timestamp"]) >= since)
    except (ValueError, KeyError, TypeError):
        return False
