"""The stores within this process: public twins of those on Postgres, for tests and for flows without a database.

`DATABASE_URL=memory:NAME` chooses them for everything that asks `streams.wiring` for a store. May import: schemas, the ports.
Start reading at `database.py` (the tables, the lock, the clock), then `sink_store.py` (who wins).
"""

from __future__ import annotations

from connectors.memory.clock import Clock
from connectors.memory.command_store import MemoryCommandStore
from connectors.memory.database import MemoryDatabase
from connectors.memory.delivery_store import MemoryDeliveryStore
from connectors.memory.due_store import MemoryDueStore
from connectors.memory.job_store import MemoryJobStore
from connectors.memory.lease_store import MemoryLeaseStore
from connectors.memory.payload_store import MemoryPayloadStore
from connectors.memory.sink_store import MemorySinkStore

__all__ = [
    "Clock",
    "MemoryCommandStore",
    "MemoryDatabase",
    "MemoryDeliveryStore",
    "MemoryDueStore",
    "MemoryJobStore",
    "MemoryLeaseStore",
    "MemoryPayloadStore",
    "MemorySinkStore",
]
