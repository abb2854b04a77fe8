"""`sluice router` as a process, with its status."""

from __future__ import annotations

import sys
from typing import Any

from streams.health.ask import get
from streams.health.service_files import running as service_files
from streams.settings import Settings
from tests.harness.services import Service
from tests.harness.waiting import wait_until

PATIENCE_S = 60.0


class RouterProcess:
    """`sluice router`, and what it did."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._service = Service(settings, ["router"], program=(sys.executable, "-m", "streams.cli"))
        self.wait_ready()

    def wait_ready(self) -> None:
        pid = self._service.pid
        wait_until(lambda: self.status(pid).get("ready"), self._service.log.read_text, PATIENCE_S)

    def status(self, pid: int | None = None) -> dict[str, Any]:
        for found in service_files(self.settings.home):
            if found.service == "router" and found.pid == (pid or self._service.pid):
                return get(found.url, "/status")[1]
        return {}

    def wait_for(self, **counts: int) -> None:
        """Wait until its status has these counts."""
        wait_until(lambda: self.status().items() >= counts.items(), lambda: f"{self.status()}", PATIENCE_S)

    def kill(self) -> None:
        self._service.kill()

    def restart(self) -> None:
        self._service.start()
        self.wait_ready()

    def stop(self) -> int:
        return self._service.stop()
