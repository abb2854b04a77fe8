"""Service files: each running service of a home writes its address into one, and holds a lock on it while it runs.

The kernel drops the lock with the process, however it ends, and across containers that share the folder, where a pid would
mean nothing. Any reader removes a file that is not locked.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """`runs`: a worker's processors. `url`: "" for a service without a health address."""

    service: str
    host: str
    pid: int
    url: str
    started_at: datetime
    runs: tuple[str, ...] = ()

    @property
    def here(self) -> bool:
        """True if it runs on this machine (or in this container)."""
        return self.host == socket.gethostname()


def folder(home: Path) -> Path:
    return home / "run" / "health"


@contextmanager
def register(home: Path, service: str, url: str, runs: tuple[str, ...] = ()) -> Iterator[None]:
    """Keep this process's service file while the block runs."""
    entry = ServiceFile(service, socket.gethostname(), os.getpid(), url, datetime.now(UTC), runs)
    path = folder(home) / f"{service}-{entry.host}-{entry.pid}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # before the rename, so that no reader removes the file as unlocked
        json.dump(asdict(entry) | {"started_at": entry.started_at.isoformat()}, file, indent=2)
        file.flush()
        new.replace(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def running(home: Path) -> list[ServiceFile]:
    """Return the files of running services, oldest first; remove those of ended ones."""
    found = [_read(path) for path in folder(home).glob("*.json")]
    return sorted((entry for entry in found if entry is not None), key=lambda entry: (entry.started_at, entry.pid))


def _read(path: Path) -> ServiceFile | None:
    try:
        with path.open(encoding="utf-8") as file:
            if not _locked(file):
                path.unlink(missing_ok=True)
                return None
            return _parse(json.load(file))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _locked(file: IO[str]) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    return True


def _parse(fields: dict[str, Any]) -> ServiceFile:
    started_at = datetime.fromisoformat(fields["started_at"])
    return ServiceFile(
        fields["service"], fields["host"], fields["pid"], fields["url"], started_at, tuple(fields["runs"])
    )
