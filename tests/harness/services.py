"""Services as an operator starts them: `sluice …`, each in a process of its own, with the settings of the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from streams.settings import Settings

SLUICE = str(Path(sys.executable).parent / "sluice")


def environment(settings: Settings) -> dict[str, str]:
    """Return `settings` as the environment of a child process."""
    return os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap,
        "SCHEMA_REGISTRY_URL": settings.registry_url,
        "DATABASE_URL": settings.database,
        "SLUICE_HOME": str(settings.home),
        "SLUICE_TOPIC_PREFIX": settings.topic_prefix,
        "SLUICE_PARTITIONS": str(settings.partitions),
        "SLUICE_CALLBACK_ALLOW": ",".join(settings.callback_allow),
        "SLUICE_KAFKA_CONFIG": json.dumps(settings.kafka_config),
        "SLUICE_NOTIFY": settings.notify,
        "SLUICE_DRAIN_S": str(settings.drain_s),
        "SLUICE_LOG_FORMAT": "json",
        "PYTHONFAULTHANDLER": "1",
        "SLUICE_HEALTH_PATIENCE_S": str(settings.health_patience_s),
        "SLUICE_OBJECTS_URL": settings.objects,
        **({"SLUICE_WEIGHTS_DIR": str(settings.weights_dir)} if settings.weights_dir else {}),
        **({"SLUICE_ROUTER_RULES": str(settings.router_rules)} if settings.router_rules else {}),
        **({"SLUICE_PROCESSORS": ",".join(settings.processors)} if settings.processors else {}),
        **({"SLUICE_CALLBACK_SHAPES": str(settings.callback_shapes)} if settings.callback_shapes else {}),
        **({"SLUICE_LEASED": ",".join(settings.leased)} if settings.leased else {}),
        **({"SLUICE_ROLLOUT": settings.rollout} if settings.rollout else {}),
        **({"SLUICE_MAX_BATCH": str(settings.max_batch)} if settings.max_batch else {}),
    }


class Service:
    """A running `sluice` process. Its log is kept beside the test's files."""

    def __init__(self, settings: Settings, args: Sequence[str], program: Sequence[str] = (SLUICE,)) -> None:
        self._settings = settings
        self._argv = [*program, *args]
        self.log = settings.home / f"{'-'.join(args)}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._argv, env=environment(self._settings), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """Send SIGKILL: no warning, no clean-up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def children(self) -> list[int]:
        """Return the process ids of direct children (the worker's child processes)."""
        found: list[int] = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with suppress(FileNotFoundError):  # a thread may end while we look
                found += [int(pid) for pid in (task / "children").read_text().split()]
        return found

    def stop(self, timeout: float = 40) -> int:
        """End it and return its exit status. `timeout` in seconds: longer than its own limit, at which it logs where it hangs.

        Raises AssertionError with the end of its log.
        """
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self._argv} did not stop within {timeout} s. {self.last_lines()}") from None

    def ended(self, timeout: float = 60) -> int:
        """Wait until it has ended by itself and return its exit status. Raises AssertionError, with the end of its log and
        each thread's traceback, when it runs on after `timeout` seconds."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler writes the tracebacks
            self.process.wait(10)
            raise AssertionError(f"{self._argv} had not ended after {timeout} s. {self.last_lines()}") from None

    def last_lines(self) -> str:
        return f"Its log ends with:\n{self.log.read_text(errors='replace')[-4000:]}"


@contextmanager
def running(settings: Settings, *commands: Sequence[str]) -> Iterator[list[Service]]:
    """Run services for the length of a `with` block; at its end each must stop by itself."""
    services = [Service(settings, command) for command in commands]
    try:
        yield services
    finally:
        stopping = [service for service in services if service.process.poll() is None]
        for service in stopping:
            service.process.terminate()
        for service in stopping:
            service.stop()
            assert "stop_timed_out" not in service.last_lines(), service.last_lines()
