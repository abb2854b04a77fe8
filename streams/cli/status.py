"""`sluice status`: everything that runs, its health, and the lag of each consumer group."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ExitCode
from streams.cli.options import Json
from streams.cli.output import age, duration, out, out_json, table

if TYPE_CHECKING:
    from streams.admin.lag import Lag
    from streams.cli.service_status import Overview, ServiceState
    from streams.health.ask import HealthAnswer
    from streams.stack import ComponentState, StackState


def status(*, json: Json = False) -> int:
    """Show what runs, whether it is healthy, and the consumer lag.

    Lists the components of the local stack, every service of this SLUICE_HOME
    (also those started by hand), each worker's processors with their device, and
    the lag (unfinished records, and the age of the oldest) of each consumer group;
    `sluice lag` has it by topic and partition. Exit status 0 if everything runs, 6
    if something has stopped or hangs, or Kafka does not answer.
    On a lab machine (docs/lab_workers.md) the gateway is asked instead of Kafka.

    With --json: `components`, `services`, `lag`, `lag_error` if the lag could not
    be read, and `restarts`: what failed since the last `sluice up`. Each service
    has `running`, `alive` (false: it hangs), `ready`, `reasons` (why it is not
    ready), `pid`, `rss` (bytes of memory), `log`, `address` (of its health
    server), and `status`, the service's own answer to GET /status; a worker's
    `status.engines` lists its processors.

    For example:

        sluice status
        sluice status --json | jq -r '.services[] | select(.running | not) | .log'
        sluice status --json | jq '.services[].status.engines[]?.device'
    """
    from streams.cli.service_status import collect
    from streams.settings import load_settings

    overview = collect(load_settings())
    overview = replace(overview, components=[without_password(each) for each in overview.components])
    out_json(overview) if json else out("\n\n".join(paragraphs(overview)))
    return ExitCode.OK if overview.healthy else ExitCode.UNREACHABLE


def paragraphs(overview: Overview) -> Iterator[str]:
    """Yield the tables that have rows, then one sentence for each problem."""
    now = datetime.now(UTC)
    rows = [
        *(_component_row(component, now) for component in overview.components),
        *(_service_row(each, now) for each in overview.services),
    ]
    yield table(rows, _HEAD) if rows else "Nothing runs here. `sluice up` starts everything on this machine."
    if engines := [row for service in overview.services for row in _engine_rows(service)]:
        yield table(engines, ("PROCESSOR", "VERSION", "DEVICE", "IN FLIGHT", "DONE", "CHILD MEMORY", "STATE", "WORKER"))
    if lag := _lag_rows(overview.lag):
        yield table(lag, ("CONSUMER GROUP", "LAG", "OLDEST", "BY TOPIC"))
    if problems := list(_problems(overview)):
        yield "\n".join(problems)


#: A worker's own memory is that of the parent; its child's is in the table of processors.
_HEAD = ("NAME", "STATE", "PID", "UPTIME", "OWN MEMORY", "ADDRESS OR LOG")


def as_table(state: StackState, answers: Sequence[HealthAnswer]) -> str:
    """Return the table of components and services, with the same words for their states as `sluice status`."""
    from streams.cli.service_status import merge

    now = datetime.now(UTC)
    rows = [_component_row(each, now) for each in state.components]
    return table([*rows, *(_service_row(each, now) for each in merge(state.services, answers))], _HEAD)


def _component_row(component: ComponentState, now: datetime) -> tuple[str, ...]:
    if not component.running:
        return (component.name, "stopped", "-", "-", "-", near(component.log))
    where = component.address or near(component.log)
    return (
        component.name,
        "running",
        str(component.pid),
        _since(component.started_at, now),
        _memory(component.rss),
        where,
    )


def _service_row(service: ServiceState, now: datetime) -> tuple[str, ...]:
    where = "by hand" if service.log is None else near(service.log)
    if not service.running:
        return (service.name, service.state, "-", "-", "-", where)
    uptime, memory = _since(service.started_at, now), _memory(service.rss)
    return (service.name, service.state, str(service.pid), uptime, memory, where)


def _engine_rows(service: ServiceState) -> Iterator[tuple[str, ...]]:
    for engine in service.engines:
        flags = {"paused": "paused", "standby": "standby", "device_fallback": "CPU fallback"}
        states = [text for flag, text in flags.items() if engine.get(flag)]
        circuit = (engine.get("circuit") or {}).get("state", "closed")
        states += [f"circuit {circuit}"] * (circuit != "closed")
        yield (
            str(engine.get("processor")),
            ",".join(map(str, engine.get("versions", []))) or "-",
            str(engine.get("device") or "-"),
            str(engine.get("in_flight", "-")),
            str(engine.get("published", "-")),
            _memory(engine.get("child_rss")),
            ", ".join(states) or ("running" if service.ready else service.state),
            service.name,
        )


def _lag_rows(lags: Sequence[Lag]) -> list[tuple[str, ...]]:
    from streams.cli.lag import of_groups, records_of

    return [
        (
            each.group,
            records_of(each),
            age(each.seconds),
            ", ".join(f"{lag.topic} {lag.records}" for lag in lags if lag.group == each.group and lag.records) or "-",
        )
        for each in of_groups(lags)
    ]


def _problems(overview: Overview) -> Iterator[str]:
    from streams.cli.service_status import open_circuits

    supervised = any(each.name == "supervisor" and each.running for each in overview.services)
    for component in overview.components:
        if not component.running and component.started_at is not None:
            yield describe_stopped(component.name, supervised)
    for service in overview.services:
        if not service.running:
            yield describe_stopped(service.name, supervised)
        for reason in service.reasons:
            yield f"{service.name}: {reason}"
        for circuit in open_circuits(service.name, service.status):
            yield f"{service.name}: {circuit}"
        for engine in service.engines:
            if engine.get("device_fallback"):
                yield f"{service.name}: {engine.get('processor')} is {engine.get('device_reason')}"
    for each in overview.restarts:
        yield f"{each.name}: {each}"
    if overview.lag_error is not None:
        yield f"lag: {overview.lag_error}"


def describe_stopped(name: str, supervised: bool) -> str:
    """Return a sentence about something that died, with the next step."""
    if name == "supervisor":
        return "supervisor has stopped: what dies is not started again. `sluice up` starts it."
    again = "the supervisor starts it again" if supervised else "`sluice up` starts it again"
    return f"{name} has stopped; see its log; {again}."


def without_password(component: ComponentState) -> ComponentState:
    """Drop everything before the @ of the address, where the password is. Only `sluice env` prints passwords."""
    return replace(component, address=component.address.rpartition("@")[2] if component.address else None)


def without_passwords(state: StackState) -> StackState:
    return replace(state, components=tuple(map(without_password, state.components)))


def near(path: Path) -> str:
    """Return the path relative to the working directory if that is shorter."""
    try:
        return min(str(path), os.path.relpath(path), key=len)
    except ValueError:  # another drive
        return str(path)


def _since(at: datetime | None, now: datetime) -> str:
    return duration((now - at).total_seconds()) if at else "-"


def _memory(rss: int | None) -> str:
    return f"{rss / 1e6:.0f} MB" if rss else "-"
