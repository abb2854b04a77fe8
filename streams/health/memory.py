"""Memory used by a process."""

from __future__ import annotations

import psutil


def resident(pid: int | None) -> int | None:
    """Return the resident memory of a process in bytes; None if the process is gone or may not be read."""
    try:
        return None if pid is None else int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
