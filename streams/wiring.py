"""The composition root: the only module that chooses the implementation of a port.

An address `memory:NAME` selects the in-memory twin of that name within this process (docs/testing.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from schemas.codec import Codec
from schemas.contract import AnyContract, contract
from schemas.registry import MemoryRegistry, PinnedRegistry, SchemaRegistry
from streams.settings import Settings

if TYPE_CHECKING:
    from connectors.access_store import AccessStore
    from connectors.audit_store import AuditStore
    from connectors.batch_store import BatchStore
    from connectors.claim_store import JobFiles
    from connectors.command_store import CommandStore
    from connectors.dead_letter_store import DeadLetterStore
    from connectors.delivery_admin import DeliveryAdmin
    from connectors.delivery_store import DeliveryStore
    from connectors.due_store import DueStore
    from connectors.gateway_client.client import GatewayClient
    from connectors.job_store import JobStore
    from connectors.lease_store import LeaseStore
    from connectors.memory import MemoryDatabase
    from connectors.monitor_store import MonitorStore
    from connectors.objects import ObjectStore
    from connectors.payload_store import PayloadStore
    from connectors.replay_store import ReplayStore
    from connectors.retention_store import RetentionStore
    from connectors.shadow_store import ShadowStore
    from connectors.sink_store import SinkStore
    from connectors.upload_store import UploadStore
    from streams.health.cached_probe import CachedProbe


def registry(settings: Settings, *, keep_alive: bool = False) -> SchemaRegistry:
    """Return the registry over HTTP; it caches schemas on disk by id, so decoding goes on while the registry is down."""
    if not settings.worker_gateway and (twin := MemoryRegistry.at(settings.registry_url)) is not None:
        return twin
    from connectors.registry import HttpRegistry
    from connectors.schema_cache import CachedRegistry

    if settings.worker_gateway:
        client = gateway_client(settings, keep_alive=False)
        through = HttpRegistry(client.registry_url, open_client=client.open)
        return CachedRegistry(through, settings.home / "schemas")
    return CachedRegistry(HttpRegistry(settings.registry_url, keep_alive=keep_alive), settings.home / "schemas")


@contextmanager
def open_registry(settings: Settings) -> Iterator[SchemaRegistry]:
    """Yield the registry for one block; its connections are closed at the end."""
    opened = registry(settings, keep_alive=True)
    try:
        yield opened
    finally:
        getattr(opened, "close", lambda: None)()


def codec(settings: Settings, schema_ids: Mapping[str, int] | None = None) -> Codec:
    """Return the codec of this installation. `schema_ids`: schema ids by subject that are known without the registry."""
    found = registry(settings)
    return Codec(found if schema_ids is None else PinnedRegistry(found, schema_ids))


def object_store(settings: Settings) -> ObjectStore:
    from connectors.objects import ObjectStore

    return ObjectStore(settings.objects, options=settings.object_options)


def job_files(settings: Settings, worker_id: str) -> Callable[[str, int], JobFiles]:
    """Return a function of a job's id and run that returns the store of its files, for a worker's child."""
    if settings.worker_gateway:
        from connectors.gateway_client.files import GatewayFiles

        client = gateway_client(settings)
        return lambda job_id, run: GatewayFiles(client, worker_id, job_id, run)
    store = object_store(settings)
    return lambda *_: store


def gateway_client(settings: Settings, *, keep_alive: bool = True) -> GatewayClient:
    """Return a client of SLUICE_WORKER_GATEWAY. Raises UsageError for an address or a token that can't be used."""
    from connectors.gateway_client.access import GatewayAccess
    from connectors.gateway_client.client import GatewayClient

    access = GatewayAccess(
        settings.worker_gateway,
        settings.gateway_secret,
        settings.worker_ca,
        settings.worker_certificate,
        settings.worker_key,
    )
    return GatewayClient(access, keep_alive=keep_alive)


def sink_store(settings: Settings, *, application: str = "sluice sink") -> SinkStore:
    """Return the sink's store. `application`: the connection's name in the database."""
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


def delivery_admin(settings: Settings) -> DeliveryAdmin:
    from connectors.memory import MemoryDeliveryAdmin
    from connectors.postgres.delivery_admin import PostgresDeliveryAdmin

    return MemoryDeliveryAdmin(twin) if (twin := _memory(settings)) else PostgresDeliveryAdmin(settings.database)


def dead_letter_store(settings: Settings) -> DeadLetterStore:
    if (twin := _memory(settings)) is not None:
        from connectors.memory import MemoryDeadLetterStore

        return MemoryDeadLetterStore(twin)
    from connectors.postgres.dead_letter_store import PostgresDeadLetterStore

    return PostgresDeadLetterStore(settings.database)


def payload_store(settings: Settings) -> PayloadStore:
    if (twin := _memory(settings)) is not None:
        from connectors.memory import MemoryPayloadStore

        return MemoryPayloadStore(twin)
    from connectors.postgres.payload_store import PostgresPayloadStore

    return PostgresPayloadStore(settings.database)


def batch_store(settings: Settings) -> BatchStore:
    if (twin := _memory(settings)) is not None:
        from connectors.memory import MemoryBatchStore

        return MemoryBatchStore(twin)
    from connectors.postgres.batch_store import PostgresBatchStore

    return PostgresBatchStore(settings.database)


def access_store(settings: Settings) -> AccessStore:
    if (twin := _memory(settings)) is not None:
        from connectors.memory import MemoryAccessStore

        return MemoryAccessStore(twin)
    from connectors.postgres.access_store import PostgresAccessStore

    return PostgresAccessStore(settings.database)


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


def replay_store(settings: Settings) -> ReplayStore:
    if (twin := _memory(settings)) is not None:
        from connectors.memory import MemoryReplayStore

        return MemoryReplayStore(twin)
    from connectors.postgres.replay_store import PostgresReplayStore

    return PostgresReplayStore(settings.database)


def monitor_store(settings: Settings) -> MonitorStore:
    from connectors.memory import MemoryMonitorStore
    from connectors.postgres.monitor_store import PostgresMonitorStore

    return MemoryMonitorStore(twin) if (twin := _memory(settings)) else PostgresMonitorStore(settings.database)


def shadow_store(settings: Settings) -> ShadowStore:
    from connectors.memory import MemoryShadowStore
    from connectors.postgres.shadow_store import PostgresShadowStore

    return MemoryShadowStore(twin) if (twin := _memory(settings)) else PostgresShadowStore(settings.database)


def upload_store(settings: Settings) -> UploadStore:
    if (twin := _memory(settings)) is not None:
        from connectors.memory import MemoryUploadStore

        return MemoryUploadStore(twin)
    from connectors.postgres.upload_store import PostgresUploadStore

    return PostgresUploadStore(settings.database)


def retention_store(settings: Settings) -> RetentionStore:
    from connectors.memory import MemoryRetentionStore
    from connectors.postgres.retention_store import PostgresRetentionStore

    return MemoryRetentionStore(twin) if (twin := _memory(settings)) else PostgresRetentionStore(settings.database)


def audit_store(settings: Settings) -> AuditStore:
    from connectors.memory import MemoryAuditStore
    from connectors.postgres.audit_store import PostgresAuditStore

    return MemoryAuditStore(twin) if (twin := _memory(settings)) else PostgresAuditStore(settings.database)


def migrate(settings: Settings) -> list[str]:
    """Apply the database migrations that are missing; returns their names. Raises Unreachable, Conflict."""
    from connectors import postgres

    return postgres.migrate(settings.database)


def pending_migrations(settings: Settings) -> list[str]:
    """Return the names of the migrations that the database lacks. Raises as `migrate` does."""
    from connectors import postgres

    return postgres.pending(settings.database)


def database_probe(settings: Settings) -> CachedProbe:
    """Ask whether the database answers, on a connection of its own."""
    from connectors.postgres.connection import fault
    from streams.health.cached_probe import CachedProbe

    return CachedProbe(lambda: fault(settings.database))


def kafka_probe(settings: Settings) -> CachedProbe:
    """Ask whether Kafka answers, through a client of its own: a consumer that polls can't tell silence from a dead broker."""
    from streams.health.cached_probe import CachedProbe
    from streams.log import kafka

    return CachedProbe(kafka.question(settings))


def contracts(settings: Settings) -> list[AnyContract]:
    """Return the contracts this installation serves."""
    return [contract(name) for name in settings.served_processors]


def _memory(settings: Settings) -> MemoryDatabase | None:
    if not settings.database.startswith("memory:"):
        return None
    from connectors.memory import MemoryDatabase

    return MemoryDatabase.at(settings.database)
