"""Asks the running services for their health, at the addresses in their service files."""

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

#: A service probes its dependencies before it answers, which may take some seconds.
TIMEOUT_S = 8.0


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """`status`: the service's own JSON; None if it gave no answer, then `fault` says why."""

    service_file: ServiceFile
    status: dict[str, Any] | None
    fault: str | None = None

    @property
    def ready(self) -> bool | None:
        """None if unknown."""
        return None if self.status is None else bool(self.status["ready"])

    @property
    def alive(self) -> bool | None:
        """None if unknown."""
        return None if self.status is None else bool(self.status["alive"])

    @property
    def reasons(self) -> Sequence[str]:
        return [self.fault] if self.status is None and self.fault else (self.status or {}).get("reasons", [])


def ask_all(home: Path, timeout_s: float = TIMEOUT_S) -> list[HealthAnswer]:
    """Ask every running service of this home, in parallel."""
    services = running(home)
    if not services:
        return []
    with ThreadPoolExecutor(len(services)) as pool:
        return list(pool.map(lambda service: ask(service, timeout_s), services))


def ask(service: ServiceFile, timeout_s: float = TIMEOUT_S) -> HealthAnswer:
    if not service.url:
        return HealthAnswer(service, None, "it was started without SLUICE_HEALTH_ADDRESS and can't be asked")
    if not service.here:
        return HealthAnswer(service, None, f"it runs on {service.host} and can only be asked there")
    try:
        return HealthAnswer(service, get(service.url, "/status", timeout_s)[1])
    except (OSError, http.client.HTTPException, ValueError) as error:
        return HealthAnswer(service, None, f"it does not answer at {service.url}: {type(error).__name__}")


def get(url: str, path: str, timeout_s: float = TIMEOUT_S) -> tuple[int, dict[str, Any]]:
    """Return the status code and body of one GET, without any proxy. Raises OSError, HTTPException, ValueError."""
    host, port = split(url.removeprefix("http://"))
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, dict(json.loads(response.read()))
    finally:
        connection.close()
