"""The current state of the stack, as `sluice status` and `sluice env` print it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from streams.stack.restarts import Restarts

ENVIRONMENT_NAMES = {
    "kafka": "KAFKA_BOOTSTRAP_SERVERS",
    "registry": "SCHEMA_REGISTRY_URL",
    "postgres": "DATABASE_URL",
    "gateway": "SLUICE_GATEWAY_URL",
}


@dataclass(frozen=True, slots=True)
class ComponentState:
    """The process of one component (kafka, registry, postgres) or service (worker, sink, …)."""

    name: str
    running: bool
    log: Path
    pid: int | None = None
    port: int | None = None
    address: str | None = field(default=None, repr=False)
    """The address for clients, with the password if there is one."""
    version: str | None = None
    rss: int | None = None
    """Resident memory in bytes."""
    started_at: datetime | None = None
    """Of a stopped one: when it was started before it died; None if it was never started, or stopped by `sluice down`."""


@dataclass(frozen=True, slots=True)
class StackState:
    components: tuple[ComponentState, ...]
    services: tuple[ComponentState, ...] = ()
    restarts: tuple[Restarts, ...] = ()
    """Failures since the last `sluice up`, each of something that was or will be started again."""

    @property
    def running(self) -> bool:
        """True if every component runs."""
        return all(component.running for component in self.components)

    def component(self, name: str) -> ComponentState:
        return next(state for state in (*self.components, *self.services) if state.name == name)

    def env(self) -> dict[str, str]:
        """Return the addresses of the running components by the environment variables that hold them."""
        return {
            ENVIRONMENT_NAMES[component.name]: component.address
            for component in self.components
            if component.running and component.address is not None and component.name in ENVIRONMENT_NAMES
        }
