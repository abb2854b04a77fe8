"""Watches a child from outside: its memory, and whether it ends when it says so."""

from __future__ import annotations

from typing import Any

from streams import logs
from streams.health.memory import machine_memory
from streams.worker.supervision.process import ChildProcess

log = logs.get("worker")

MIB = 1024 * 1024
LOOK_EVERY_S = 1.0
#: A job can take a gigabyte in a second, so the limit leaves room for what comes between two looks.
MEMORY_EVERY_S = 0.1
DEFAULT_SHARE = 0.8
#: How long a child may take to end after DRAINED.
EXIT_S = 5.0


def memory_limit(mib: int | None) -> int:
    """Return the bytes of resident memory that a child may use: SLUICE_CHILD_MEMORY_MIB, else a share of the machine's."""
    return int(machine_memory() * DEFAULT_SHARE) if mib is None else mib * MIB


class ChildWatch:
    """Used by the engine's thread. `limit`: bytes of resident memory."""

    def __init__(self, processor: str, limit: int) -> None:
        self._processor = processor
        self._limit = limit
        self._next_look = 0.0
        self._next_measure = 0.0
        self._bounded = True
        self.resident = 0  # bytes, at the last look

    def began(self) -> None:
        """Another child has been started."""
        self.resident = 0
        self._bounded = True

    def look(self, child: ChildProcess, now: float, drained_at: float | None) -> None:
        """Measure the child, and end one that is stuck at its exit."""
        if now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY_S
        self.resident = child.resident
        if drained_at is not None and now >= drained_at + EXIT_S:
            log.warning("child_exit_timed_out", processor=self._processor, child=child.pid)
            child.kill()
        # If a child is gone and its pipe is still open, a process that it started holds the pipe.
        if child.exited:
            child.read_out()

    def over_limit(self, child: ChildProcess, now: float, ready: dict[str, Any] | None, at_start: int) -> bool:
        """True if the child, which is `ready`, uses more memory than it may. `at_start`: bytes when it became ready.

        A limit that it exceeds before its first job is ignored, because every child would be killed at once.
        """
        if ready is None or not self._bounded or now < self._next_measure:
            return False
        self._next_measure = now + MEMORY_EVERY_S
        if at_start >= self._limit:
            self._bounded = False
            log.warning("memory_limit_too_small", limit_mib=self._limit // MIB, needed_to_load_mib=at_start // MIB)
            return False
        resident = child.resident
        if resident <= self._limit:
            return False
        log.error("memory_limit_exceeded", processor=self._processor, child=child.pid, resident=resident)
        return True
