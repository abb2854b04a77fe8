"""A language model's server for tests: real HTTP on loopback that streams chat completions, or misbehaves as a test says.

with serving_language() as server:
    server.says("Hello", " world")     # the next answer, in pieces; the last one given is repeated
    processor_options = server.options()
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Writes an answer, head and all. An OSError in it ends the answer, as one of a client that went away.
Behaviour = Callable[["Answering"], None]

KEY = "sk-a-key-that-must-stay-secret"


class Answering:
    """A request that is being answered. `gone`: set when the test ends, for behaviours that wait."""

    def __init__(self, handler: BaseHTTPRequestHandler, gone: threading.Event) -> None:
        self._handler = handler
        self.gone = gone

    def head(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        """Send a head without a length: the body ends with the connection."""
        self._handler.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()

    def send(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self._handler.wfile.flush()

    def event(self, chunk: object) -> None:
        data = chunk if isinstance(chunk, str) else json.dumps(chunk)
        self.send(f"data: {data}\n\n".encode())

    def text(self, text: str) -> None:
        self.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})

    def finish(self, reason: str = "stop", tokens: int | None = None) -> None:
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if tokens is not None:
            self.event({"choices": [], "usage": {"completion_tokens": tokens}})
        self.event("[DONE]")


def speaking(*pieces: str, finish: str = "stop", tokens: int | None = None) -> Behaviour:
    """Stream these pieces."""

    def answer(to: Answering) -> None:
        to.head()
        for piece in pieces:
            to.text(piece)
        to.finish(finish, tokens)

    return answer


def dying(*pieces: str) -> Behaviour:
    """Stream these pieces, then close the connection in mid-stream, as a server that is killed."""

    def answer(to: Answering) -> None:
        to.head()
        for piece in pieces:
            to.text(piece)

    return answer


def failing(status: int, body: str = "", kind: str = "application/json", **headers: str) -> Behaviour:
    """Answer with a status and a body."""

    def answer(to: Answering) -> None:
        to.head(status, kind, **headers)
        to.send(body.encode())

    return answer


@dataclass
class FakeLanguageServer:
    """`bodies`: the requests' bodies as they came. `keys`: their Authorization headers. `paths`: their paths."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    _waiting: list[Behaviour] = field(default_factory=list)

    def says(self, *pieces: str) -> None:
        """Answer the next request with these pieces of text."""
        self.does(speaking(*pieces))

    def does(self, *behaviours: Behaviour) -> None:
        """Answer the next requests so; the last behaviour of all is repeated."""
        self._waiting.extend(behaviours)

    def options(self, **more: str) -> dict[str, str]:
        """Return the options of a processor that uses this server."""
        return {"LLM_URL": self.url, "LLM_MODEL": "fake-model", "LLM_API_KEY": KEY, **more}

    def next(self) -> Behaviour:
        if not self._waiting:
            return failing(500)
        return self._waiting.pop(0) if len(self._waiting) > 1 else self._waiting[0]


@contextmanager
def serving_language(tls: ssl.SSLContext | None = None) -> Iterator[FakeLanguageServer]:
    """Run a server on loopback. A behaviour that waits should wait for `Answering.gone`."""
    fake, gone = FakeLanguageServer(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            fake.bodies.append(body)
            fake.keys.append(self.headers.get("Authorization"))
            fake.paths.append(self.path)
            with contextlib.suppress(OSError):
                fake.next()(Answering(self, gone))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.url = f"{'http://127.0.0.1' if tls is None else 'https://localhost'}:{server.server_port}/v1"
    try:
        yield fake
    finally:
        gone.set()
        server.shutdown()
        server.server_close()
        thread.join()
