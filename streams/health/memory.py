"""What a process holds in memory."""

from __future__ import annotations

import os
from pathlib import Path


def resident(pid: int | None) -> int | None:
    """Resident memory of a process in bytes; None where that can't be told."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
