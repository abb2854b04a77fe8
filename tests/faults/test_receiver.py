"""The backend of the fault runs: requests of a burst reach it at once."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler

from tests.faults.receiver import CallbackServer

BURST = 64


def test_connections_of_a_burst_wait_in_the_servers_queue() -> None:
    """Beyond the queue the kernel holds requests back, and delivers them after the notifier that sent them has died."""
    with CallbackServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server, ExitStack() as stack:
        for _ in range(BURST):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.server_port), timeout=5.0))
