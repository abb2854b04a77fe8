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
class ComponentState:
    """One component of the stack (kafka, registry, postgres) or one service of sluice's own (worker, sink, …)."""

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
    components: tuple[ComponentState, ...]
    services: tuple[ComponentState, ...] = ()

    @property
    def running(self) -> bool:
        """Whether every component runs."""
        return all(component.running for component in self.components)

    def component(self, name: str) -> ComponentState:
        return next(state for state in (*self.components, *self.services) if state.name == name)

    def env(self) -> dict[str, str]:
        """The addresses of the components that run, under the names that other programs know."""
        return {
            ENVIRONMENT_NAMES[component.name]: component.address
            for component in self.components
            if component.running and component.address is not None and component.name in ENVIRONMENT_NAMES
        }
