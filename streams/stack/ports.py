"""Assigns ports: the default port if it is free, and the same one again after a restart."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

HOST = "127.0.0.1"


def free(port: int) -> bool:
    """Return whether a server could listen on the port now (connections in TIME_WAIT do not matter)."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def answered(port: int) -> bool:
    """Return whether a process accepts connections on the port."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def candidates(default: int) -> Iterator[int]:
    """Yield the default port, then 1xxxx and 2xxxx (9092 becomes 19092), then their neighbours."""
    yield default
    yield from (default + 10_000, default + 20_000)
    yield from range(default + 10_001, default + 10_200)


class PortAllocations:
    """Ports by name, stored in a file. Two names never get the same port."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._assigned: dict[str, int] = {}

    def recorded(self) -> dict[str, int]:
        try:
            stored = json.loads(self._path.read_text())
            return {str(name): int(port) for name, port in stored.items()}
        except (FileNotFoundError, ValueError, AttributeError, TypeError):
            return {}

    def assign(self, name: str, default: int) -> int:
        """Return the recorded port if it is still free, else the first free candidate, and record it."""
        with self._lock:
            port = next(port for port in self._choices(name, default) if free(port))
            self._assigned[name] = port
            self._save()
        return port

    def _choices(self, name: str, default: int) -> Iterator[int]:
        others = {port for other, port in (self.recorded() | self._assigned).items() if other != name}
        before = self.recorded().get(name)
        wanted = ([before] if before is not None else []) + list(candidates(default))
        yield from (port for port in wanted if port not in others)
        yield _any_free()

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self.recorded() | self._assigned, indent=2) + "\n")
        fresh.replace(self._path)


def _any_free() -> int:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
