"""`sluice status`: what runs, where, and since when; whether it takes work, and how much waits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ExitCode
from streams.cli.options import Json
from streams.cli.output import out, say_json, table

if TYPE_CHECKING:
    from streams.cli.service_status import Overview, ServiceState
    from streams.log.lag import Lag
    from streams.stack import PartState, StackState


def status(*, json: Json = False) -> int:
    """Show what runs, where, and since when.

    The parts of the local stack, every service of this home (those started by hand
    too) with whether it is ready, each worker's processors with their device, and
    how many records each group has still to read. Exit status 6 when something of
    it does not run, or hangs.

    For example:

        sluice status
        sluice status --json | jq -r '.services[] | select(.running | not) | .log'
        sluice status --json | jq '.services[].told.engines[]?.device'
    """
    from streams.cli.service_status import collect
    from streams.settings import load_settings

    seen = collect(load_settings())
    seen = replace(seen, parts=[hidden(part) for part in seen.parts])
    say_json(seen) if json else out("\n\n".join(paragraphs(seen)))
    return ExitCode.OK if seen.sound else ExitCode.UNREACHABLE


def paragraphs(seen: Overview) -> Iterator[str]:
    """The tables that have something to tell, and what is wrong in sentences."""
    now = datetime.now(UTC)
    rows = [*(_part_row(part, now) for part in seen.parts), *(_service_row(each, now) for each in seen.services)]
    yield table(rows, _HEAD) if rows else "Nothing runs here."
    if engines := [row for service in seen.services for row in _engine_rows(service)]:
        yield table(engines, ("PROCESSOR", "VERSION", "DEVICE", "IN FLIGHT", "DONE", "CHILD", "STATE", "WORKER"))
    if lag := _lag_rows(seen.lag):
        yield table(lag, ("GROUP", "LAG", "OF WHICH"))
    if faults := list(_faults(seen)):
        yield "\n".join(faults)


_HEAD = ("NAME", "STATE", "PID", "UPTIME", "MEMORY", "ADDRESS OR LOG")


def as_table(state: StackState) -> str:
    """What `sluice up` has started, without asking it how it is."""
    now = datetime.now(UTC)
    return table([_part_row(part, now) for part in (*state.parts, *state.services)], _HEAD)


def _part_row(part: PartState, now: datetime) -> tuple[str, ...]:
    if not part.running:
        return (part.name, "stopped", "-", "-", "-", near(part.log))
    where = part.address or near(part.log)
    return (part.name, "running", str(part.pid), _since(part.started_at, now), _memory(part.rss), where)


def _service_row(service: ServiceState, now: datetime) -> tuple[str, ...]:
    where = "by hand" if service.log is None else near(service.log)
    if not service.running:
        return (service.name, service.word, "-", "-", "-", where)
    uptime, memory = _since(service.started_at, now), _memory(service.rss)
    return (service.name, service.word, str(service.pid), uptime, memory, where)


def _engine_rows(service: ServiceState) -> Iterator[tuple[str, ...]]:
    for engine in service.engines:
        words = [
            word
            for word, so in (
                ("paused", engine.get("paused")),
                ("standby", engine.get("standby")),
                ("CPU fallback", engine.get("device_fallback")),
            )
            if so
        ]
        yield (
            str(engine.get("processor")),
            ",".join(map(str, engine.get("versions", []))) or "-",
            str(engine.get("device") or "-"),
            str(engine.get("in_flight", "-")),
            str(engine.get("published", "-")),
            _memory(engine.get("child_rss")),
            ", ".join(words) or ("works" if service.ready else service.word),
            service.name,
        )


def _lag_rows(lags: Sequence[Lag]) -> list[tuple[str, str, str]]:
    groups: dict[str, list[Lag]] = {}
    for lag in lags:
        groups.setdefault(lag.group, []).append(lag)
    return [
        (group, _sum(of), ", ".join(f"{lag.topic} {lag.records}" for lag in of if lag.records) or "-")
        for group, of in groups.items()
    ]


def _sum(lags: list[Lag]) -> str:
    known = [lag.records for lag in lags if lag.records is not None]
    return str(sum(known)) if known else "-"


def _faults(seen: Overview) -> Iterator[str]:
    for service in seen.services:
        if not service.running:
            yield f"{service.name} does not run any more; its log says why, `sluice up` starts it again"
        for reason in service.reasons:
            yield f"{service.name}: {reason}"
        for engine in service.engines:
            if engine.get("device_fallback"):
                yield f"{service.name}: {engine.get('processor')} is {engine.get('device_reason')}"
    if seen.lag_fault is not None:
        yield f"lag: {seen.lag_fault}"


def hidden(part: PartState) -> PartState:
    """An address may carry a password before its @: that is for `sluice env` to tell, not for a screen or a report."""
    return replace(part, address=part.address.rpartition("@")[2] if part.address else None)


def without_passwords(state: StackState) -> StackState:
    return replace(state, parts=tuple(map(hidden, state.parts)), services=tuple(map(hidden, state.services)))


def near(path: Path) -> str:
    """A path as seen from the working directory where that is shorter."""
    try:
        return min(str(path), os.path.relpath(path), key=len)
    except ValueError:  # another drive
        return str(path)


def _since(at: datetime | None, now: datetime) -> str:
    return duration((now - at).total_seconds()) if at else "-"


def _memory(rss: int | None) -> str:
    return f"{rss / 1e6:.0f} MB" if rss else "-"


def duration(seconds: float) -> str:
    """`12 s`, `3 min`, `5 h`, `2 d`."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
