"""A load client that costs little: it shares its cores with what it measures. HTTP/1.1 by hand, on asyncio's protocols."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast


@dataclass
class Load:
    """`latencies`: seconds from the time at which each request was due (not from when it could be sent)."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    expected: int | None = None
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, latency: float, status: str) -> None:
        self.latencies.append(latency)
        self.statuses[status] += 1
        if len(self.latencies) == self.expected:
            self.complete.set()

    def quantile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Requests(asyncio.Protocol):
    """A connection that is kept: one request at a time."""

    def __init__(self, load: Load, idle: deque[_Requests], next_due: Callable[[], tuple[float, bytes] | None]) -> None:
        self._load = load
        self._idle = idle
        self._next_due = next_due
        self._buffer = b""
        self._due = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._idle.append(self)

    def send(self, due: float, request: bytes) -> None:
        self._due = due
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self._load.add(time.perf_counter() - self._due, head[9:12].decode())
        self._buffer = b""
        waiting = self._next_due()
        if waiting is None:
            self._idle.append(self)
        else:
            self.send(*waiting)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._load.complete.is_set():
            self._load.statuses["lost"] += 1


async def open_loop(host: str, port: int, requests: list[bytes], rate: float, connections: int) -> Load:
    """Send the requests at a rate, whether or not earlier ones were answered; return once all are."""
    load, idle, late = Load(), deque[_Requests](), deque[tuple[float, bytes]]()
    loop = asyncio.get_running_loop()
    made = [
        (
            await loop.create_connection(
                lambda: _Requests(load, idle, lambda: late.popleft() if late else None), host, port
            )
        )[0]
        for _ in range(connections)
    ]
    load.expected = len(requests)
    begin = time.perf_counter()
    for number, request in enumerate(requests):
        due = begin + number / rate
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        if idle:
            idle.popleft().send(due, request)
        else:
            late.append((due, request))
    try:
        async with asyncio.timeout(30):
            await load.complete.wait()
    except TimeoutError:
        load.statuses["unanswered"] = len(requests) - len(load.latencies)
    finally:
        for transport in made:
            transport.abort()
    return load


class Stream(asyncio.Protocol):
    """A stream of events that is kept open. Counts what it gets."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._begin = b""
        self.bytes = 0
        self.closed = False
        self.begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        if not self.begun.done():
            self._begin += data
            if b"event: state" in self._begin or not self._begin.startswith(b"HTTP/1.1 200"):
                self.begun.set_result(self._begin[9:12].decode())

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if not self.begun.done():
            self.begun.set_result("lost")
