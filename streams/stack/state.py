"""The stack as it is now, for people (`sluice status`) and for other programs (`sluice env`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

ENVIRONMENT_NAMES = {
    "kafka": "KAFKA_BOOTSTRAP_SERVERS",
    "registry": "SCHEMA_REGISTRY_URL",
    "postgres": "DATABASE_URL",
}


@dataclass(frozen=True, slots=True)
class PartState:
    """One part of the stack (kafka, registry, postgres) or one service of sluice's own (worker, sink, …)."""

    name: str
    running: bool
    log: Path
    pid: int | None = None
    port: int | None = None
    address: str | None = field(default=None, repr=False)
    """What a client is configured with; holds the password where there is one."""
    version: str | None = None
    rss: int | None = None
    """Resident memory in bytes."""
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StackState:
    parts: tuple[PartState, ...]
    services: tuple[PartState, ...] = ()

    @property
    def running(self) -> bool:
        """Whether every part runs."""
        return all(part.running for part in self.parts)

    def part(self, name: str) -> PartState:
        return next(state for state in (*self.parts, *self.services) if state.name == name)

    def env(self) -> dict[str, str]:
        """The addresses of the parts that run, under the names that other programs know."""
        return {
            ENVIRONMENT_NAMES[part.name]: part.address
            for part in self.parts
            if part.running and part.address is not None and part.name in ENVIRONMENT_NAMES
        }
