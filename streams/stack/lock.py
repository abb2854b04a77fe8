"""An advisory file lock, so that one command runs at a time. The kernel releases it if its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE = 0.05


@contextmanager
def exclusive(path: Path, *, on_wait: Callable[[], None], check: Callable[[], None]) -> Iterator[None]:
    """Hold the lock. `on_wait` is called once if another process holds it; `check` while waiting, and may raise to cancel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not _try(descriptor):
            on_wait()
            while not _try(descriptor):
                check()
                time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
