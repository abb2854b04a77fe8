"""Memory used by a process, and what there is."""

from __future__ import annotations

from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")


def resident(pid: int | None) -> int | None:
    """Return the resident memory of a process in bytes; None if the process is gone or may not be read."""
    try:
        return None if pid is None else int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


def machine_memory(cgroups: Path = CGROUPS) -> int:
    """Return the bytes of memory that this process can have: the machine's, or less if its cgroup has a limit."""
    limits = [_limit(path) for path in (*_own_limits(cgroups), cgroups / "memory/memory.limit_in_bytes")]
    return min([psutil.virtual_memory().total, *(limit for limit in limits if limit is not None)])


def _own_limits(cgroups: Path) -> list[Path]:
    """Return the limit files of this process's cgroup (version 2) and of those around it."""
    try:
        own = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return []
    folder = cgroups / own.strip("/")
    return [each / "memory.max" for each in (folder, *folder.parents) if each.is_relative_to(cgroups)]


def _limit(path: Path) -> int | None:
    """Return a cgroup's limit in bytes; None without one."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # the file says "max" without a limit
        return None
