"""When a child has served long enough. What native code leaks grows with the jobs; a fresh process has none of it."""

from __future__ import annotations

from typing import Any

from streams import logs

log = logs.get("worker")

MIB = 1024 * 1024


class RecyclePolicy:
    """`answered` is counted by the thread that hears the child, the rest by the main one."""

    def __init__(self) -> None:
        self._jobs: int | None = None
        self._memory: int | None = None
        self._tight = False
        self.answered = 0
        self.resident = 0

    def fresh(self, ready: dict[str, Any], resident: int) -> None:
        """A child has become ready and holds so many bytes. A limit that it exceeds before its first job is no use: each
        child would be replaced at once."""
        self.answered, self.resident = 0, resident
        self._jobs = ready.get("recycle_jobs")
        mib = ready.get("recycle_mib")
        self._memory = None if mib is None else mib * MIB
        if self._memory is not None and resident >= self._memory:
            if not self._tight:
                log.warning("recycle_memory_too_small", limit_mib=mib, needed_to_load_mib=resident // MIB)
            self._tight, self._memory = True, None

    def reason(self) -> str | None:
        """Why the child is to be replaced; None while it may go on."""
        if self._jobs is not None and self.answered >= self._jobs:
            return "jobs"
        if self._memory is not None and self.answered and self.resident >= self._memory:
            return "memory"
        return None
