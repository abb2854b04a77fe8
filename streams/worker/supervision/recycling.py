"""Decides when to replace the child. Leaks of native code grow with the number of jobs; a fresh process has none of them."""

from __future__ import annotations

from typing import Any

from streams import logs

log = logs.get("worker")

MIB = 1024 * 1024


class RecyclePolicy:
    def __init__(self) -> None:
        self._jobs: int | None = None
        self._memory: int | None = None
        self._warned = False
        self.resident = 0  # bytes, when the child became ready

    def start(self, ready: dict[str, Any], resident: int) -> None:
        """A child has become ready with `resident` bytes. Ignore a memory limit that it exceeds before its first job: every
        child would be replaced at once."""
        self.resident = resident
        self._jobs = ready.get("recycle_jobs")
        mib = ready.get("recycle_mib")
        self._memory = None if mib is None else mib * MIB
        if self._memory is not None and resident >= self._memory:
            if not self._warned:
                log.warning("recycle_memory_too_small", limit_mib=mib, needed_to_load_mib=resident // MIB)
            self._warned, self._memory = True, None

    def reason(self, answered: int, resident: int) -> str | None:
        """Return why a child with so many answers, and so many bytes, must be replaced; None if it need not be."""
        if self._jobs is not None and answered >= self._jobs:
            return "jobs"
        if self._memory is not None and answered and resident >= self._memory:
            return "memory"
        return None
