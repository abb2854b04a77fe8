"""Helpers of the tests: a backend on a schema of its own in BACKEND_DATABASE_URL, and a server that stands for sluice."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg
import uvicorn

from backend.database import SCHEMA
from backend.settings import Settings
from main import create_app

#: The address of the backend that it gives to others.
BACKEND_URL = "http://backend.example:8000"
#: Takes method, path and body of a request; returns the status and the body of the answer.
Answer = Callable[[str, str, Any], tuple[int, Any]]


class Gateway(ThreadingHTTPServer):
    """A gateway that answers what the test says, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.asked: list[tuple[str, str, Any]] = []
        self.answer: Answer
        self.accept_all()

    def accept_all(self) -> None:
        """Forget what was asked, and answer 200 from now on."""
        self.asked.clear()
        self.answer = lambda method, path, body: (200, {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Request(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        is_json = "json" in (self.headers.get("content-type") or "")
        asked = (self.command, self.path, json.loads(body) if body and is_json else body or None)
        self.server.asked.append(asked)
        status, answer = self.server.answer(*asked)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def backend(gateway_url: str, data: Path, **changes: Any) -> Iterator[httpx.Client]:
    """Yield a client of a backend on a port of its own."""
    url = os.environ["BACKEND_DATABASE_URL"]
    settings = Settings(url, gateway_url, data=data, backend_url=BACKEND_URL, **changes)
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="warning", lifespan="on"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the backend did not start"
                time.sleep(0.01)
            port = listening.getsockname()[1]
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


def forget_database() -> None:
    with psycopg.connect(os.environ["BACKEND_DATABASE_URL"]) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def empty_tables() -> None:
    with psycopg.connect(os.environ["BACKEND_DATABASE_URL"]) as connection:
        connection.execute(f"TRUNCATE {SCHEMA}.jobs, {SCHEMA}.resumes, {SCHEMA}.interviews CASCADE")
