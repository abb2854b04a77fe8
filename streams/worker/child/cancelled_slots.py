"""Which running jobs somebody asked to stop. Written by the thread that hears the parent, read by those that work."""

from __future__ import annotations

from collections.abc import Iterable

#: The newest so many are remembered. A job that is asked when its answer is already on its way is never forgotten otherwise;
#: a worker runs far fewer at a time.
KEPT = 16_384


class CancelledSlots:
    """Each step is one operation on a dict, so no lock is needed."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._slots: dict[int, None] = {}

    def __bool__(self) -> bool:
        return bool(self._slots)

    def ask(self, slots: Iterable[int]) -> None:
        for slot in slots:
            self._slots[slot] = None
        while len(self._slots) > self._kept:
            del self._slots[next(iter(self._slots))]

    def asked(self, slot: int) -> bool:
        return slot in self._slots

    def heeded(self, slot: int) -> None:
        """The job has stopped."""
        self._slots.pop(slot, None)
