"""A backend that fails: it refuses some requests, leaves some without an answer, and can be restarted on its port."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from typing import Any, cast

#: Shares of the answers: a fault of the one request, an overload, an outage, and none at all. 30 % in all.
REFUSALS = ((409, 0.19), (429, 0.05), (503, 0.05), (0, 0.01))


#: Seconds until a progress callback is answered.
PROGRESS_S = 0.1


class UnreliableBackend:
    """`accepted`: the answered requests' bodies by job, in order. `wrong`: what broke a promise of progress callbacks."""

    def __init__(self, seed: int = 0, *, reliable: bool = False) -> None:
        self._rng = random.Random(seed)
        self._reliable = reliable
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self.port = 0
        self.arrived = 0
        self.statuses: Counter[int] = Counter()
        self.accepted: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.wrong: list[str] = []
        self._in_flight: Counter[str] = Counter()
        self._ended: set[str] = set()

    async def __aenter__(self) -> UnreliableBackend:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in [*self._connections]:
            connection.transport.abort()
        self._connections.clear()

    async def restart(self, away_s: float) -> None:
        """Refuse connections for a while; requests in flight get no answer."""
        await self.__aexit__()
        await asyncio.sleep(away_s)
        await self.__aenter__()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/cb"

    def begin(self, body: dict[str, Any]) -> int:
        """Note that a request has arrived; return the status to answer, 0 for none."""
        self.arrived += 1
        job, ends = str(body["job"]), "end" in body
        if self._in_flight[job]:
            self.wrong.append("two callbacks of a job at the same time")
        if not ends and job in self._ended:
            self.wrong.append("progress after the end")
        if ends:
            self._ended.add(job)
        elif self.accepted[job] and body["percent"] < self.accepted[job][-1].get("percent", 0):
            self.wrong.append("progress out of order")
        self._in_flight[job] += 1
        return self._status()

    def finish(self, body: dict[str, Any], status: int) -> None:
        self._in_flight[str(body["job"])] -= 1
        self.statuses[status] += 1
        if status == 200:
            self.accepted[str(body["job"])].append(body)

    def _status(self) -> int:
        if self._reliable:
            return 200
        drawn = self._rng.random()
        for status, share in REFUSALS:
            drawn -= share
            if drawn < 0:
                return status
        return 200


class _Connection(asyncio.Protocol):
    def __init__(self, backend: UnreliableBackend) -> None:
        self._backend = backend
        self._buffer = b""
        self._unanswered: dict[str, Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports do not inherit from asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self._backend._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._backend._connections.discard(self)
        if self._unanswered is not None:
            self._backend.finish(self._unanswered, 0)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            start = head.index(b"content-length:") + 15
            total = end + 4 + int(head[start:].split(b"\r\n", 1)[0])
            if len(self._buffer) < total:
                return
            body, self._buffer = json.loads(self._buffer[end + 4 : total]), self._buffer[total:]
            status = self._backend.begin(body)
            if not status:
                self._unanswered = body  # until the client gives up
                return
            if "end" in body:
                self._answer(body, status)
            else:  # slowly, so that jobs end meanwhile
                asyncio.get_running_loop().call_later(PROGRESS_S, self._answer, body, status)

    def _answer(self, body: dict[str, Any], status: int) -> None:
        self._backend.finish(body, status)
        retry = b"retry-after: 0\r\n" if status == 429 else b""
        self.transport.write(b"HTTP/1.1 %d X\r\n%bcontent-length: 0\r\n\r\n" % (status, retry))
