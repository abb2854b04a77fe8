"""A service's health over HTTP, for orchestrators and `sluice status`.

    GET /livez    200, or 503 if a loop hangs: restart the service
    GET /readyz   200, or 503 with the reasons: send no traffic, or wait
    GET /status   200, with facts, counters and reasons

Answers are JSON and contain no job data. HEAD is answered like GET without the body; a query is ignored. Listens on loopback
unless SLUICE_HEALTH_ADDRESS says otherwise.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from schemas.errors import StartupError
from streams.health.loop_threads import LoopThreads
from streams.health.report import Health

#: Seconds until a connection with an unfinished request is closed.
PATIENCE_S = 5.0


class HealthServer:
    """Listens once constructed. `check` returns the health; its argument says whether to probe dependencies too (see
    `report.HasHealth`). `facts`: part of every status. `threads`: those of the service, which ends if the server dies.
    Raises StartupError."""

    def __init__(
        self, address: str, check: Callable[[bool], Health], facts: dict[str, Any], threads: LoopThreads
    ) -> None:
        host, port = split(address)
        try:
            self._server = _Server(host, port, check, facts)
        except OSError as error:
            raise StartupError(
                f"Nothing can listen on SLUICE_HEALTH_ADDRESS {address}: {error.strerror or error}.",
                next_step="Set another address, port 0 for a free one, or an empty value for no health server.",
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}"
        self._closing = threading.Event()
        self._thread = threads.new("health", partial(self._server.serve_forever, 0.1), self._closing.is_set)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def split(address: str) -> tuple[str, int]:
    """Split `host:port`; an IPv6 host is in brackets."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 16

    def __init__(self, host: str, port: int, check: Callable[[bool], Health], facts: dict[str, Any]) -> None:
        self.check = check
        self.facts = facts
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without resolving the host's full name, which may wait for a name server for half a minute."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do not log that a client closed the connection."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE_S
    server_version, sys_version = "sluice", ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        answer = {"/livez": self._livez, "/readyz": self._readyz, "/status": self._status}.get(path)
        if answer is None:
            self._send(404, {"error": "Not found. The paths are /livez, /readyz and /status."})
            return
        try:
            health = self.server.check(path != "/livez")
        except Exception as error:  # noqa: BLE001 - a service whose health check fails is not alive
            health = Health(alive=False, ready=False, reasons=(f"its health check failed: {type(error).__name__}",))
        answer(health)

    do_HEAD = do_GET

    def _livez(self, health: Health) -> None:
        self._send(200 if health.alive else 503, {"alive": health.alive, "reasons": health.reasons})

    def _readyz(self, health: Health) -> None:
        self._send(200 if health.ready else 503, {"ready": health.ready, "reasons": health.reasons})

    def _status(self, health: Health) -> None:
        state = {"alive": health.alive, "ready": health.ready, "reasons": health.reasons}
        self._send(200, {**self.server.facts, **state, **health.details})

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content, default=str).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Do not log requests: orchestrators probe every second."""
