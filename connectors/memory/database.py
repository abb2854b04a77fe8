"""A database in memory: the tables, one lock and the clock that its stores share; and the base of these stores."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import ClassVar, Self

from connectors.access_store import Quota, Token
from connectors.command_store import AcknowledgementRow, CommandRow
from connectors.memory.clock import Clock
from connectors.memory.replay_tables import StoredReplay
from connectors.memory.tables import (
    StoredBatch,
    StoredCancel,
    StoredDeadLetter,
    StoredDelivery,
    StoredHealth,
    StoredHistory,
    StoredJob,
    StoredLease,
    StoredOffset,
    StoredOutcome,
    StoredPayload,
    StoredRun,
    StoredUpload,
)
from connectors.retention_store import Erasure
from connectors.sink_store import LogPosition
from connectors.upload_store import PartialUpload, UploadPart

PREFIX = "memory:"

#: A run: job id (16 bytes) and number.
StoredKey = tuple[bytes, int]


class MemoryDatabase:
    """Thread-safe if every access is within `reading` or `writing`: other threads see all changes of one, or none."""

    _named: ClassVar[dict[str, MemoryDatabase]] = {}
    _naming: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        #: Held by every transaction; notified after each one that changed something.
        self.changed = threading.Condition(threading.RLock())
        #: Number of transactions that may have changed something; the driver of a flow uses it to see whether it has settled.
        self.changes = 0
        self.topics: dict[bytes, str] = {}
        self.jobs: dict[bytes, StoredJob] = {}
        self.runs: dict[StoredKey, StoredRun] = {}
        self.outcomes: dict[StoredKey, StoredOutcome] = {}
        self.history: dict[tuple[bytes, LogPosition], StoredHistory] = {}
        self.deliveries: dict[bytes, StoredDelivery] = {}
        self.notifiers: dict[bytes, datetime] = {}
        #: By tenant, destination and hour.
        self.destination_hours: dict[tuple[str, str, datetime], StoredHealth] = {}
        #: When the next try may be made (None: the circuit is closed), and when that was noted.
        self.circuits: dict[str, tuple[datetime | None, datetime]] = {}
        self.offsets: dict[tuple[str, bytes, int], StoredOffset] = {}
        self.cancels: dict[StoredKey, StoredCancel] = {}
        self.commands: dict[str, CommandRow] = {}
        self.acknowledgements: dict[tuple[str, str], AcknowledgementRow] = {}
        self.payloads: dict[StoredKey, StoredPayload] = {}
        self.leases: dict[StoredKey, StoredLease] = {}
        #: When each worker last asked for a job, by processor and worker.
        self.lease_workers: dict[tuple[str, str], datetime] = {}
        self.batches: dict[str, StoredBatch] = {}
        self.tokens: dict[bytes, Token] = {}
        self.quotas: dict[str, Quota] = {}
        self.dead_letters: dict[LogPosition, StoredDeadLetter] = {}
        self.uploads: dict[str, StoredUpload] = {}
        self.partial_uploads: dict[str, PartialUpload] = {}
        self.upload_parts: dict[str, list[UploadPart]] = {}
        self.erasures: list[Erasure] = []
        self.replays: dict[str, StoredReplay] = {}
        self.fences = itertools.count(1)
        #: The leading timekeeper, and the time of its last call.
        self.leader: tuple[object, datetime] | None = None

    @classmethod
    def at(cls, address: str) -> MemoryDatabase | None:
        """Return the database of an address `memory:NAME`, created at first use; None for any other address."""
        if not address.startswith(PREFIX):
            return None
        with cls._naming:
            return cls._named.setdefault(address.removeprefix(PREFIX), cls())

    @classmethod
    def name(cls, name: str, database: MemoryDatabase) -> None:
        """Make `memory:<name>` the address of this database."""
        with cls._naming:
            cls._named[name] = database

    @classmethod
    def forget(cls, name: str) -> None:
        with cls._naming:
            cls._named.pop(name, None)

    @contextmanager
    def reading(self) -> Iterator[datetime]:
        """Yield the database's time, which stays the same like `now()` in a transaction. Also for changes that leave
        all runs as they are, like a claim."""
        with self.changed:
            yield self.clock.now()

    @contextmanager
    def writing(self) -> Iterator[datetime]:
        """Like `reading`, and count and notify a change. Code in it must not raise after it has changed something."""
        with self.changed:
            yield self.clock.now()
            self.changes += 1
            self.changed.notify_all()


class MemoryStore:
    """Base of the stores on a memory database."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._db = database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release nothing: there is no connection."""


def earliest(first: datetime | None, second: datetime | None) -> datetime | None:
    """Return the earlier of two times, like `least` in SQL: None is ignored."""
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)
