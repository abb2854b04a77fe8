"""An HTTP server that can break a connection at any byte. Each connection carries one request."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Received:
    """A request as the server read it. `gone` is set once the client has closed its end."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    gone: threading.Event = field(default_factory=threading.Event)


#: Raw bytes of an answer; after the last ones the connection ends.
Handler = Callable[[Received], Iterable[bytes]]


def answer(body: bytes, status: int = 200, content_type: str = "application/json", length: int | None = None) -> bytes:
    """Return a whole answer; with a `length` beyond the body, one that is cut off."""
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def json_answer(body: Any, status: int = 200) -> bytes:
    return answer(json.dumps(body).encode(), status)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


class BreakingServer:
    """A context manager; `requests` are those it has read so far."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.requests: list[Received] = []
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> BreakingServer:
        self._threads.append(threading.Thread(target=self._accept))
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):  # closed at the end
            while True:
                connection, _ = self._socket.accept()
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream, suppress(OSError):
            received = _read(stream)
            if received is None:
                return
            self.requests.append(received)
            for part in self._handler(received):
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            while stream.read(4096):
                pass
            received.gone.set()


def _read(stream: Any) -> Received | None:
    line = stream.readline().decode().split(" ")
    if len(line) < 2:
        return None
    headers: dict[str, str] = {}
    while (text := stream.readline().decode().strip()) != "":
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    return Received(line[0], line[1], headers, stream.read(int(headers.get("content-length", "0"))))
