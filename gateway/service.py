"""The gateway as a service: an HTTP server on a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import closing
from functools import partial

import uvicorn

from gateway.app import create_app
from gateway.ports import Ports
from schemas.errors import StartupError
from streams import logs, wiring
from streams.health.loop_threads import LoopThreads
from streams.health.report import Health, evaluate
from streams.health.server import split
from streams.process import loop_factory
from streams.settings import Settings

log = logs.get("gateway")

#: Seconds between two looks at the service's stop event.
TURN_S = 0.1
BACKLOG = 2048


class Gateway:
    """`address`: where it listens, known once it is constructed. Raises StartupError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._socket = _listen(settings.gateway_address)
        self._threads = LoopThreads("gateway", log)
        self._database = wiring.database_probe(settings)
        self._ports: Ports | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.address = "{}:{}".format(*self._socket.getsockname()[:2])

    def health(self, *, ask: bool = True) -> Health:
        """Return the health: ready while it serves and the database answers."""
        ports = self._ports
        dead = [*self._threads.dead, *(ports.loops.dead if ports is not None else ())]
        missing = ["it does not serve yet" if ports is None else None, self._database.fault() if ask else None]
        return evaluate([], time.monotonic(), dead=dead, missing=missing, details={"address": self.address})

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set; then end streams, and finish the requests in flight. Raises LoopDied."""
        self._threads.run_until(stop)
        with closing(self._socket):
            thread = self._threads.new("http", partial(self._serve, stop), stop.is_set)
            thread.start()
            stop.wait()
            thread.join()
        self._threads.raise_if_dead()

    def _serve(self, stop: threading.Event) -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(self._serve_until(stop))

    async def _serve_until(self, stop: threading.Event) -> None:
        ports = Ports(self._settings)
        with closing(ports):
            ports.loops.run_until(stop)
            server = uvicorn.Server(self._config(ports))
            serving = asyncio.create_task(server.serve([self._socket]))
            started = asyncio.create_task(ports.started.wait())
            await asyncio.wait([serving, started], return_when=asyncio.FIRST_COMPLETED)
            if ports.started.is_set():
                self._ports = ports
                log.info("gateway_ready", address=self.address)
            while not stop.is_set() and not serving.done():
                await asyncio.wait([serving], timeout=TURN_S)
            started.cancel()
            ports.stopping.set()
            server.should_exit = True
            await serving
        ports.loops.raise_if_dead()

    def _config(self, ports: Ports) -> uvicorn.Config:
        return uvicorn.Config(
            create_app(ports),
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=max(1, int(self._settings.drain_s)),
        )


def _listen(address: str) -> socket.socket:
    host, port = split(address)
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
        )
    except OSError as error:
        raise StartupError(
            f"Nothing can listen on SLUICE_GATEWAY_ADDRESS {address}: {error.strerror or error}.",
            next_step="Set another address, or port 0 for a free one.",
        ) from error
