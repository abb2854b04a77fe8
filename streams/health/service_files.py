"""Where the services of one home can be asked: each leaves a note with its address, and holds a lock on it while it lives.

The kernel drops the lock with the process, however it ends, and across containers that share the folder; a pid would say
nothing there. Whoever finds a note without its lock removes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """`runs`: what it was told to run, a worker's processors. `url`: "" for a service that listens nowhere."""

    service: str
    host: str
    pid: int
    url: str
    started_at: datetime
    runs: tuple[str, ...] = ()

    @property
    def here(self) -> bool:
        """Whether it runs on this machine (or in this container)."""
        return self.host == socket.gethostname()


def folder(home: Path) -> Path:
    return home / "run" / "health"


class RegisteredService:
    """This process's note, from making it to `remove`."""

    def __init__(self, home: Path, service: str, url: str, runs: tuple[str, ...] = ()) -> None:
        note = ServiceFile(service, socket.gethostname(), os.getpid(), url, datetime.now(UTC), runs)
        self._path = folder(home) / f"{service}-{note.host}-{note.pid}.json"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        self._file: IO[str] = fresh.open("w", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX)  # before it has its name, so that nobody takes it for a dead one's
        json.dump(asdict(note) | {"started_at": note.started_at.isoformat()}, self._file, indent=2)
        self._file.flush()
        fresh.replace(self._path)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()


def running(home: Path) -> list[ServiceFile]:
    """The notes of services that live, the oldest first; those of dead ones are removed."""
    found = [_read(path) for path in folder(home).glob("*.json")]
    return sorted((note for note in found if note is not None), key=lambda note: (note.started_at, note.pid))


def _read(path: Path) -> ServiceFile | None:
    try:
        with path.open(encoding="utf-8") as file:
            if not _locked(file):
                path.unlink(missing_ok=True)
                return None
            return _parsed(json.load(file))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _locked(file: IO[str]) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    return True


def _parsed(kept: dict[str, Any]) -> ServiceFile:
    started_at = datetime.fromisoformat(kept["started_at"])
    return ServiceFile(kept["service"], kept["host"], kept["pid"], kept["url"], started_at, tuple(kept["runs"]))
