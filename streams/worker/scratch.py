"""The folder where a worker's jobs keep files while they run."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from pathlib import Path

_LOCK = ".lock"


class Scratch:
    """A folder that is held by a lock beside it while its worker lives.

    Folders of workers of this host that crashed are removed by the next one that starts. Those of another host that shares the
    volume are left alone, since their workers may live.
    """

    def __init__(self, root: Path, worker_id: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        host = socket.gethostname()
        for lock in root.glob(f"*~{host}{_LOCK}"):
            _remove_if_left(lock)
        self.path = root / f"{worker_id}~{os.getpid()}~{host}"
        self._lock_path = _lock_of(self.path)
        self._lock = os.open(self._lock_path, os.O_CREAT | os.O_RDWR)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.path.mkdir(exist_ok=True)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + _LOCK)


def _remove_if_left(lock_path: Path) -> None:
    """Remove the folder of this lock if no process holds the lock. A file system without locks keeps its folders."""
    try:
        lock = os.open(lock_path, os.O_RDWR)
    except OSError:
        return  # removed meanwhile
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(lock_path.with_name(lock_path.name.removesuffix(_LOCK)), ignore_errors=True)
        lock_path.unlink(missing_ok=True)
    except OSError:
        return  # its worker lives
    finally:
        os.close(lock)
