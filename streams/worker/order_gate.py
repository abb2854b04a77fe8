"""Which jobs of an ordered processor may run now. Pure: no Kafka, no clock, no lock.

Jobs of one key run one after another, in the order in which they were admitted; jobs of different keys do not wait for each
other. A key belongs to a partition and is forgotten with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class OrderGate(Generic[T]):
    def __init__(self) -> None:
        self._behind: dict[Hashable, dict[Hashable, deque[T]]] = {}  # by partition and busy key: what waits behind it
        self._parked = 0

    def __len__(self) -> int:
        """How many are parked."""
        return self._parked

    def admit(self, partition: Hashable, key: Hashable, item: T) -> bool:
        """True: it runs now, and its key is busy until `done`. False: it is parked behind the others of its key."""
        busy = self._behind.setdefault(partition, {})
        behind = busy.get(key)
        if behind is None:
            busy[key] = deque()
            return True
        behind.append(item)
        self._parked += 1
        return False

    def done(self, partition: Hashable, key: Hashable) -> T | None:
        """The key's running item needs no more: the next one, which runs now; None when the key is free."""
        busy = self._behind.get(partition)
        behind = None if busy is None else busy.get(key)
        if busy is None or behind is None:
            return None  # its partition was dropped
        if behind:
            self._parked -= 1
            return behind.popleft()
        del busy[key]
        if not busy:
            del self._behind[partition]
        return None

    def drop(self, partition: Hashable) -> list[T]:
        """Forget a partition and its keys; what was parked there, in order within each key."""
        parked = [item for behind in self._behind.pop(partition, {}).values() for item in behind]
        self._parked -= len(parked)
        return parked
