"""The composition root: the only place that knows which implementation stands behind a port.

An address `memory:NAME` means the twin within this process that has this name (docs/testing.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from schemas.codec import Codec
from schemas.contract import AnyContract, contract, known_processors
from schemas.registry import MemoryRegistry, PinnedRegistry, SchemaRegistry
from streams.settings import Settings

if TYPE_CHECKING:
    from connectors.command_store import CommandStore
    from connectors.delivery_store import DeliveryStore
    from connectors.due_store import DueStore
    from connectors.job_store import JobStore
    from connectors.lease_store import LeaseStore
    from connectors.memory import MemoryDatabase
    from connectors.objects import ObjectStore
    from connectors.payload_store import PayloadStore
    from connectors.store import SinkStore
    from streams.health.cached_probe import CachedProbe


def registry(settings: Settings) -> SchemaRegistry:
    """The registry over HTTP, with schemas kept on disk by id: decoding goes on while the registry is down."""
    if (twin := MemoryRegistry.at(settings.registry_url)) is not None:
        return twin
    from connectors.registry import HttpRegistry
    from connectors.schema_cache import CachedRegistry

    return CachedRegistry(HttpRegistry(settings.registry_url), settings.home / "schemas")


def codec(settings: Settings, schema_ids: Mapping[str, int] | None = None) -> Codec:
    """`schema_ids`: by subject, ids that the registry need not be asked for."""
    found = registry(settings)
    return Codec(found if schema_ids is None else PinnedRegistry(found, schema_ids))


def object_store(settings: Settings) -> ObjectStore:
    from connectors.objects import ObjectStore

    return ObjectStore(settings.objects)


def sink_store(settings: Settings, *, application: str = "sluice sink") -> SinkStore:
    """`application`: what the database calls its connection."""
    if (twin := _memory(settings)) is not None:
        from connectors.memory import MemorySinkStore

        return MemorySinkStore(twin)
    from connectors.postgres.sink_store import PostgresSinkStore

    return PostgresSinkStore(settings.database, application=application)


def due_store(settings: Settings) -> DueStore:
    if (twin := _memory(settings)) is not None:
        from connectors.memory import MemoryDueStore

        return MemoryDueStore(twin)
    from connectors.postgres.due_store import PostgresDueStore

    return PostgresDueStore(settings.database)


def command_store(settings: Settings) -> CommandStore:
    if (twin := _memory(settings)) is not None:
        from connectors.memory import MemoryCommandStore

        return MemoryCommandStore(twin)
    from connectors.postgres.command_store import PostgresCommandStore

    return PostgresCommandStore(settings.database)


def delivery_store(settings: Settings) -> DeliveryStore:
    if (twin := _memory(settings)) is not None:
        from connectors.memory import MemoryDeliveryStore

        return MemoryDeliveryStore(twin)
    from connectors.postgres.delivery_store import PostgresDeliveryStore

    return PostgresDeliveryStore(settings.database)


def payload_store(settings: Settings) -> PayloadStore:
    if (twin := _memory(settings)) is not None:
        from connectors.memory import MemoryPayloadStore

        return MemoryPayloadStore(twin)
    from connectors.postgres.payload_store import PostgresPayloadStore

    return PostgresPayloadStore(settings.database)


def lease_store(settings: Settings) -> LeaseStore:
    if (twin := _memory(settings)) is not None:
        from connectors.memory import MemoryLeaseStore

        return MemoryLeaseStore(twin)
    from connectors.postgres.lease_store import PostgresLeaseStore

    return PostgresLeaseStore(settings.database)


def job_store(settings: Settings) -> JobStore:
    if (twin := _memory(settings)) is not None:
        from connectors.memory import MemoryJobStore

        return MemoryJobStore(twin)
    from connectors.postgres.job_store import PostgresJobStore

    return PostgresJobStore(settings.database)


def migrate(settings: Settings) -> list[str]:
    """Apply the database migrations that are missing; returns their names. Raises Unreachable, Conflict."""
    from connectors import postgres

    return postgres.migrate(settings.database)


def pending_migrations(settings: Settings) -> list[str]:
    """Return the names of the migrations that the database lacks. Raises as `migrate` does."""
    from connectors import postgres

    return postgres.pending(settings.database)


def database_probe(settings: Settings) -> CachedProbe:
    """Whether the database answers, asked on a connection of its own."""
    from connectors.postgres.connection import fault
    from streams.health.cached_probe import CachedProbe

    return CachedProbe(lambda: fault(settings.database))


def contracts(settings: Settings) -> list[AnyContract]:
    """The contracts this installation serves: SLUICE_PROCESSORS, else all that are installed."""
    return [contract(name) for name in settings.processors or known_processors()]


def _memory(settings: Settings) -> MemoryDatabase | None:
    if not settings.database.startswith("memory:"):
        return None
    from connectors.memory import MemoryDatabase

    return MemoryDatabase.at(settings.database)
