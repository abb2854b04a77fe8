"""Stores in memory: public counterparts of the stores on Postgres, for tests and for flows without a database.

`DATABASE_URL=memory:NAME` selects them for every store that `streams.wiring` opens.
May import: schemas, connectors (the ports).
Start reading at `database.py` (the tables, the lock, the clock), then `sink_store.py` (which result wins).
"""

from __future__ import annotations

from connectors.memory.access_store import MemoryAccessStore
from connectors.memory.audit_store import MemoryAuditStore
from connectors.memory.batch_store import MemoryBatchStore
from connectors.memory.clock import Clock
from connectors.memory.command_store import MemoryCommandStore
from connectors.memory.database import MemoryDatabase
from connectors.memory.dead_letter_store import MemoryDeadLetterStore
from connectors.memory.delivery_admin import MemoryDeliveryAdmin
from connectors.memory.delivery_store import MemoryDeliveryStore
from connectors.memory.due_store import MemoryDueStore
from connectors.memory.job_store import MemoryJobStore
from connectors.memory.lease_store import MemoryLeaseStore
from connectors.memory.monitor_store import MemoryMonitorStore
from connectors.memory.payload_store import MemoryPayloadStore
from connectors.memory.replay_store import MemoryReplayStore
from connectors.memory.retention_store import MemoryRetentionStore
from connectors.memory.shadow_store import MemoryShadowStore
from connectors.memory.sink_store import MemorySinkStore
from connectors.memory.upload_store import MemoryUploadStore

__all__ = [
    "Clock",
    "MemoryAccessStore",
    "MemoryAuditStore",
    "MemoryBatchStore",
    "MemoryCommandStore",
    "MemoryDatabase",
    "MemoryDeadLetterStore",
    "MemoryDeliveryAdmin",
    "MemoryDeliveryStore",
    "MemoryDueStore",
    "MemoryJobStore",
    "MemoryLeaseStore",
    "MemoryMonitorStore",
    "MemoryPayloadStore",
    "MemoryReplayStore",
    "MemoryRetentionStore",
    "MemoryShadowStore",
    "MemorySinkStore",
    "MemoryUploadStore",
]
