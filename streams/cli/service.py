"""Runs the long-running commands: log configuration, a bounded stop on a signal, and a health server."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from schemas.errors import ExitCode
from streams import logs
from streams.health.loop_threads import LoopThreads
from streams.health.memory import resident
from streams.health.report import HasHealth, Health
from streams.health.server import HealthServer
from streams.health.service_files import register
from streams.health.watchdog import CLOSE_S, Watchdog
from streams.settings import Settings, load_settings


class Service(HasHealth, Protocol):
    def run(self, stop: threading.Event) -> object:
        """Work until `stop` is set, then finish what is in flight and return."""
        ...


def serve(
    name: str, build: Callable[[Settings], Service], settings: Settings | None = None, runs: Sequence[str] = ()
) -> int:
    """Run a service until SIGTERM or SIGINT; a second SIGINT ends it at once. `runs`: a worker's processors.

    The process ends within SLUICE_DRAIN_S plus CLOSE_S seconds of the signal, by force if it hangs.
    """
    settings = settings or load_settings()
    logs.configure(settings.log_level, settings.log_format, service=name, pid=os.getpid())
    log, stop = logs.get(name), threading.Event()
    threads = LoopThreads(name, log)
    threads.run_until(stop)
    watchdog = Watchdog(stop, settings.drain_s + CLOSE_S, log)
    watchdog.listen()
    try:
        service = build(settings)
        with serve_health(name, service, settings, runs, threads):
            service.run(stop)
        threads.raise_if_dead()
    finally:
        watchdog.begin()  # also ends the process if threads are left over
    log.info("stopped")
    return ExitCode.OK


@contextmanager
def serve_health(
    name: str, service: HasHealth, settings: Settings, runs: Sequence[str], threads: LoopThreads
) -> Iterator[None]:
    """Serve the service's health over HTTP and register its address, while the block runs. Raises StartupError."""
    since = time.monotonic()

    def check(ask: bool) -> Health:
        health = service.health(ask=ask)
        return Health(
            health.alive,
            health.ready,
            health.reasons,
            {"up_s": round(time.monotonic() - since, 1), "rss": resident(os.getpid()), **health.details},
        )

    facts = {"service": name, "pid": os.getpid()}
    server = HealthServer(settings.health_address, check, facts, threads) if settings.health_address else None
    try:
        with register(settings.home, name, server.url if server else "", tuple(runs)):
            yield
    finally:
        if server is not None:
            server.close()
