"""The memory log as one object: its address, and the clients that share it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, ClassVar

from streams.log.memory.admin import MemoryAdmin
from streams.log.memory.consumer import MemoryConsumer
from streams.log.memory.producer import MemoryProducer
from streams.log.memory.shared import SharedLog

PREFIX = "memory:"


class MemoryLog(SharedLog):
    """A log within this process, with a name if it is to be found by its address."""

    _named: ClassVar[dict[str, MemoryLog]] = {}
    _naming: ClassVar[threading.Lock] = threading.Lock()

    # ── by address ──

    @classmethod
    def at(cls, address: str) -> MemoryLog | None:
        """Return the log behind an address `memory:NAME`, made at its first use; None for any other address."""
        if not address.startswith(PREFIX):
            return None
        with cls._naming:
            return cls._named.setdefault(address.removeprefix(PREFIX), cls())

    @classmethod
    def name(cls, name: str, log: MemoryLog) -> None:
        """Let `memory:<name>` be this log."""
        with cls._naming:
            cls._named[name] = log

    @classmethod
    def forget(cls, name: str) -> None:
        with cls._naming:
            cls._named.pop(name, None)

    # ── clients ──

    def producer(self, config: Mapping[str, Any] | None = None) -> MemoryProducer:
        return MemoryProducer(self, config or {})

    def consumer(self, config: Mapping[str, Any]) -> MemoryConsumer:
        return MemoryConsumer(self, config)

    def admin(self) -> MemoryAdmin:
        return MemoryAdmin(self)
