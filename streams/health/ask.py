"""Asks services how they are, by the notes they left."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.health.server import split
from streams.health.service_files import ServiceFile, running

#: A service looks at what it needs before it answers, which may take it some seconds.
TIMEOUT_S = 8.0


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """`status`: what the service told of itself; None when it told nothing, and `fault` says why."""

    note: ServiceFile
    status: dict[str, Any] | None
    fault: str | None = None

    @property
    def ready(self) -> bool | None:
        """None when that is not known."""
        return None if self.status is None else bool(self.status["ready"])

    @property
    def alive(self) -> bool | None:
        return None if self.status is None else bool(self.status["alive"])

    @property
    def reasons(self) -> Sequence[str]:
        return [self.fault] if self.status is None and self.fault else (self.status or {}).get("reasons", [])


def ask_all(home: Path, timeout_s: float = TIMEOUT_S) -> list[HealthAnswer]:
    """Every living service of this home, side by side."""
    notes = running(home)
    if not notes:
        return []
    with ThreadPoolExecutor(len(notes)) as pool:
        return list(pool.map(lambda note: ask(note, timeout_s), notes))


def ask(note: ServiceFile, timeout_s: float = TIMEOUT_S) -> HealthAnswer:
    if not note.url:
        return HealthAnswer(note, None, "it was started without SLUICE_HEALTH_ADDRESS and can't be asked")
    if not note.here:
        return HealthAnswer(note, None, f"it runs on {note.host} and can only be asked there")
    try:
        return HealthAnswer(note, get(note.url, "/status", timeout_s)[1])
    except (OSError, http.client.HTTPException, ValueError) as error:
        return HealthAnswer(note, None, f"it does not answer at {note.url}: {type(error).__name__}")


def get(url: str, path: str, timeout_s: float = TIMEOUT_S) -> tuple[int, dict[str, Any]]:
    """The status code and body of one GET, past any proxy. Raises OSError, HTTPException, ValueError."""
    host, port = split(url.removeprefix("http://"))
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, dict(json.loads(response.read()))
    finally:
        connection.close()
