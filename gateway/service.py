"""The gateway as a service: an HTTP server on a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import uvicorn

from gateway.app import create_app
from gateway.http_protocol import BoundedHttpProtocol
from gateway.mri_polling import polling as mri_polling
from gateway.open_files import raise_limit
from gateway.ports import Ports
from gateway.research import tasks
from gateway.video import videos
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
#: Seconds between two looks at whether it has started.
START_TURN_S = 0.005
BACKLOG = 2048
#: Seconds that a connection may be idle between two requests. Above the minute of common load balancers and clients.
KEEP_ALIVE_S = 75


class Gateway:
    """`address`: where it listens, known once it is constructed. Raises StartupError.

    `on_built` is called once everything is built, before the first request.
    """

    def __init__(self, settings: Settings, on_built: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._on_built = on_built
        logging.getLogger("uvicorn.error").addFilter(_without_exception)
        mri_polling.check(settings)
        videos.check(settings)
        tasks.check(settings)
        self._tls = _tls(settings)
        self._socket = _listen(settings.gateway_address)
        self._threads = LoopThreads("gateway", log)
        self._database = wiring.database_probe(settings)
        self._ports: Ports | None = None
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
        raise_limit(self._settings.gateway_requests)
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
            try:
                await self._watch(server, serving, ports, stop)
            finally:
                ports.stopping.set()
                server.should_exit = True
                try:
                    await serving
                finally:  # uvloop hangs when it is closed with an open listener
                    for listener in getattr(server, "servers", ()):
                        listener.close()
        ports.loops.raise_if_dead()

    async def _watch(
        self, server: uvicorn.Server, serving: asyncio.Task[None], ports: Ports, stop: threading.Event
    ) -> None:
        """Return once the gateway is to stop, or has ended by itself."""
        while not stop.is_set() and not serving.done():
            if server.started and self._ports is None:
                self._on_built()
                self._ports = ports
                log.info("gateway_ready", address=self.address)
            await asyncio.wait([serving], timeout=TURN_S if self._ports else START_TURN_S)

    def _config(self, ports: Ports) -> uvicorn.Config:
        return uvicorn.Config(
            create_app(ports),
            http=BoundedHttpProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, int(self._settings.drain_s)),
            **self._tls,
        )


def _tls(settings: Settings) -> dict[str, Any]:
    """Return uvicorn's options for TLS. Raises StartupError for a file that can't be used."""
    certificate, key, authorities = (
        settings.gateway_tls_cert,
        settings.gateway_tls_key,
        settings.gateway_tls_client_ca,
    )
    if certificate is None:
        if key is not None or authorities is not None:
            raise StartupError("SLUICE_GATEWAY_TLS_KEY and _CLIENT_CA need SLUICE_GATEWAY_TLS_CERT.")
        return {}
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        if authorities is not None:
            context.load_verify_locations(authorities)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise StartupError(
            f"The certificate of the gateway can't be used: {error.strerror or type(error).__name__}.",
            next_step="Check the PEM files of SLUICE_GATEWAY_TLS_CERT, _KEY and _CLIENT_CA.",
        ) from error
    return {"ssl_context_factory": lambda config, default: context}


def _without_exception(record: logging.LogRecord) -> bool:
    """Drop the text and the traceback of a request's exception, which may quote a patient's value: the access to a failed
    request is logged by `problems` with its frames."""
    record.exc_info = record.exc_text = None
    return True


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
