"""A backend that receives and counts callbacks.

Written directly on an asyncio protocol, because it shares the machine with the measured system: a web framework would cost
more per request than the whole engine does. It reads HTTP/1.1 POSTs with a Content-Length and answers with a status only.

`python -m bench.receiver` runs it as a process of its own, which prints its URL and answers GET with its counts. With
`--arrivals` it also prints the path and the time of each callback whose path goes on after /callback/.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

BASE = "/callback/"
REASONS = {
    200: b"OK",
    204: b"No Content",
    404: b"Not Found",
    410: b"Gone",
    429: b"Too Many",
    500: b"Error",
    503: b"Busy",
}


@dataclass(frozen=True, slots=True)
class ReceivedCallback:
    """A received request. `at`: seconds of the monotonic clock, which all processes of a machine share."""

    delivery_id: str
    at: float
    path: str
    headers: dict[str, str]
    body: bytes

    def event(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


#: Returns the status to answer with; tests make it refuse.
Answer = Callable[[ReceivedCallback], int]


def always_ok(_: ReceivedCallback) -> int:
    return 200


class Receiver:
    """An HTTP server on a thread of its own; a context manager. `keep=False` keeps only counts, for long benchmarks."""

    def __init__(self, port: int = 0, answer: Answer = always_ok, *, keep: bool = True) -> None:
        self._answer = answer
        self._keep = keep
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._wanted_port = port
        self.port = 0
        self.callbacks: list[ReceivedCallback] = []
        self.requests = 0
        self.ids: set[str] = set()
        self.last_new_at = 0.0
        self._thread = threading.Thread(target=self._run, name="callback-receiver", daemon=True)

    def __enter__(self) -> Receiver:
        self._thread.start()
        if not self._ready.wait(10) or not self.port:
            raise OSError(f"the callback receiver could not listen on port {self._wanted_port}")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{BASE}"

    def take(self, callback: ReceivedCallback) -> int:
        """Count the request and return the status to answer with; called on the loop's thread."""
        status = self._answer(callback)
        with self._changed:
            self.requests += 1
            if self._keep:
                self.callbacks.append(callback)
            if status < 300 and callback.delivery_id not in self.ids:
                self.ids.add(callback.delivery_id)
                self.last_new_at = callback.at
            self._changed.notify_all()
        return status

    def wait(self, enough: Callable[[Receiver], bool], timeout: float) -> bool:
        """Wait until `enough` is true; returns False if `timeout` seconds pass first."""
        with self._changed:
            return self._changed.wait_for(lambda: enough(self), timeout)

    def wait_for(self, count: int, timeout: float) -> bool:
        """Wait until `count` different deliveries were accepted; returns False after `timeout` seconds."""
        return self.wait(lambda receiver: len(receiver.ids) >= count, timeout)

    def stats(self) -> dict[str, float]:
        return {"requests": self.requests, "unique": len(self.ids), "last_new_at": self.last_new_at}

    def _run(self) -> None:
        self._loop = _new_loop()
        try:
            server = self._loop.run_until_complete(
                self._loop.create_server(lambda: _Connection(self), "127.0.0.1", self._wanted_port, backlog=1024)
            )
            self.port = server.sockets[0].getsockname()[1]
        except OSError:
            self._ready.set()
            return
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._loop.close()


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].decode("latin-1").split("\r\n")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            total = end + 4 + int(fields.get("content-length", "0"))
            if len(self._buffer) < total:
                return
            body, self._buffer = self._buffer[end + 4 : total], self._buffer[total:]
            method, path, _ = head[0].split(" ", 2)
            self._answer(method, path, fields, body)

    def _answer(self, method: str, path: str, fields: dict[str, str], body: bytes) -> None:
        if method == "GET":
            reply, status = json.dumps(self._receiver.stats()).encode(), 200
        else:
            callback = ReceivedCallback(fields.get("webhook-id", ""), time.monotonic(), path, fields, body)
            reply, status = b"", self._receiver.take(callback)
        reason = REASONS.get(status, b"Status")
        self._transport.write(b"HTTP/1.1 %d %s\r\ncontent-length: %d\r\n\r\n%s" % (status, reason, len(reply), reply))


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def main() -> None:
    """Print the URL as JSON and receive until standard input ends, so that it never outlives its parent process."""
    import sys

    def print_arrival(callback: ReceivedCallback) -> int:
        if len(callback.path) > len(BASE):
            sys.stdout.write(f'["{callback.path}", {callback.at!r}]\n')
            sys.stdout.flush()
        return 200

    answer = print_arrival if "--arrivals" in sys.argv else always_ok
    with Receiver(answer=answer, keep=False) as receiver:
        sys.stdout.write(json.dumps({"url": receiver.url, "port": receiver.port}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
