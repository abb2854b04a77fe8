"""What all stores of one memory database share: the tables, one lock, and the clock."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import ClassVar

from connectors.command_store import AcknowledgementRow, CommandRow
from connectors.memory.clock import Clock
from connectors.memory.tables import (
    StoredAcceptance,
    StoredCancel,
    StoredDelivery,
    StoredHistory,
    StoredJob,
    StoredLease,
    StoredOffset,
    StoredOutcome,
    StoredRun,
)
from connectors.store import LogPosition

PREFIX = "memory:"

StoredKey = tuple[bytes, int]


class MemoryDatabase:
    """Thread-safe as long as everything goes through `transaction`: what is done in one is seen at once or not at all."""

    _named: ClassVar[dict[str, MemoryDatabase]] = {}
    _naming: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        #: Held by every transaction; notified after each that changed something.
        self.changed = threading.Condition(threading.RLock())
        #: Transactions that changed something, or may have: whoever drives a flow sees by it that something happened.
        self.changes = 0
        self.topics: dict[bytes, str] = {}
        self.jobs: dict[bytes, StoredJob] = {}
        self.runs: dict[StoredKey, StoredRun] = {}
        self.outcomes: dict[StoredKey, StoredOutcome] = {}
        self.history: dict[tuple[bytes, LogPosition], StoredHistory] = {}
        self.deliveries: dict[bytes, StoredDelivery] = {}
        self.notifiers: dict[bytes, datetime] = {}
        self.offsets: dict[tuple[str, bytes, int], StoredOffset] = {}
        self.cancels: dict[StoredKey, StoredCancel] = {}
        self.commands: dict[str, CommandRow] = {}
        self.acknowledgements: dict[tuple[str, str], AcknowledgementRow] = {}
        self.payloads: dict[StoredKey, StoredAcceptance] = {}
        self.leases: dict[StoredKey, StoredLease] = {}
        self.fences = itertools.count(1)
        #: The timekeeper that leads, and when it last said a word.
        self.leader: tuple[object, datetime] | None = None

    @classmethod
    def at(cls, address: str) -> MemoryDatabase | None:
        """The database behind an address `memory:NAME`, made at its first use; None for any other address."""
        if not address.startswith(PREFIX):
            return None
        with cls._naming:
            return cls._named.setdefault(address.removeprefix(PREFIX), cls())

    @classmethod
    def name(cls, name: str, database: MemoryDatabase) -> None:
        """Let `memory:<name>` be this database."""
        with cls._naming:
            cls._named[name] = database

    @classmethod
    def forget(cls, name: str) -> None:
        with cls._naming:
            cls._named.pop(name, None)

    @contextmanager
    def reading(self) -> Iterator[datetime]:
        """The time by the database's clock, the same throughout, as `now()` in a transaction. Also for changes that move no
        job, like a claim."""
        with self.changed:
            yield self.clock.now()

    @contextmanager
    def writing(self) -> Iterator[datetime]:
        """As `reading`. Whatever raises must do so before it has changed anything."""
        with self.changed:
            yield self.clock.now()
            self.changes += 1
            self.changed.notify_all()


def moment_or(later: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two times, as SQL's `least`: nulls do not count."""
    if later is None or other is None:
        return other if later is None else later
    return min(later, other)
