"""`sluice status`: what runs, where, and since when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from schemas.errors import ExitCode
from streams.cli.options import Json
from streams.cli.output import say, say_json, table

if TYPE_CHECKING:
    from streams.stack import PartState, StackState


def status(*, json: Json = False) -> int:
    """Show what runs, where, and since when.

    The parts of the local stack and the services beside it. Exit status 6 when
    something of it does not run.

    For example:

        sluice status
        sluice status --json | jq -r '.services[] | select(.running | not) | .log'
    """
    from streams.settings import load_settings
    from streams.stack import LocalStack

    state = without_passwords(LocalStack(load_settings().home).status())
    say_json(state) if json else say(as_table(state))
    running = state.running and all(service.running for service in state.services)
    return ExitCode.OK if running else ExitCode.UNREACHABLE


def as_table(state: StackState) -> str:
    now = datetime.now(UTC)
    rows = [_row(part, now) for part in (*state.parts, *state.services)]
    return table(rows, ("NAME", "STATE", "PID", "UPTIME", "MEMORY", "ADDRESS OR LOG"))


def _row(part: PartState, now: datetime) -> tuple[str, ...]:
    if not part.running:
        return (part.name, "stopped", "-", "-", "-", str(part.log))
    uptime = duration((now - part.started_at).total_seconds()) if part.started_at else "-"
    memory = f"{part.rss / 1e6:.0f} MB" if part.rss else "-"
    return (part.name, "running", str(part.pid), uptime, memory, part.address or str(part.log))


def without_passwords(state: StackState) -> StackState:
    """An address may carry a password before its @: that is for `sluice env` to tell, not for a screen or a report."""

    def hidden(part: PartState) -> PartState:
        return replace(part, address=part.address.rpartition("@")[2] if part.address else None)

    return replace(state, parts=tuple(map(hidden, state.parts)), services=tuple(map(hidden, state.services)))


def duration(seconds: float) -> str:
    """`12 s`, `3 min`, `5 h`, `2 d`."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
