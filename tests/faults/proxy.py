"""A TCP proxy whose connections can be cut, stalled or delayed: what a network does, without a network's privileges."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

HOST = "127.0.0.1"
_CHUNK = 256 * 1024


class ProxyLoop:
    """The event loop of all proxies, on a thread of its own; a context manager."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self.loop.run_forever, name="proxies", daemon=True)

    def __enter__(self) -> ProxyLoop:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    async def _end(self) -> None:
        for server in self.servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class Proxy:
    """Forwards `port` to `target`. The methods may be called from any thread; each stays in force until `heal`."""

    def __init__(self, loops: ProxyLoop, port: int, target: int) -> None:
        self.port, self.target = port, target
        self._loop, self._servers = loops.loop, loops.servers
        self._open: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay_s = 0.0
        self._refusing = False
        self._served: set[asyncio.Task[None]] = set()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def cut(self) -> None:
        """Close every connection, and every new one at once."""
        self._do(self._cut)

    def stall(self) -> None:
        """Keep connections open and forward nothing."""
        self._do(self._flowing.clear)

    def delay(self, seconds: float) -> None:
        """Forward everything, but late."""
        self._delay_s = seconds

    def heal(self) -> None:
        self._do(self._heal)

    def _do(self, action: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(action)

    def _cut(self) -> None:
        self._refusing = True
        for writer in list(self._open):
            writer.transport.abort()

    def _heal(self) -> None:
        self._refusing, self._delay_s = False, 0.0
        self._flowing.set()

    async def _listen(self) -> None:
        self._servers.append(await asyncio.start_server(self._accept, HOST, self.port))

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._served.add(task)
        task.add_done_callback(self._served.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            if self._refusing:
                return
            with suppress(OSError):
                answers, upstream = await asyncio.open_connection(HOST, self.target)
                self._open.add(upstream)
                await self._both_ways(self._pump(reader, upstream), self._pump(answers, writer))
        finally:
            for end in (writer, upstream):
                if end is not None:
                    self._open.discard(end)
                    end.transport.abort()

    async def _both_ways(self, *pumps: Coroutine[Any, Any, None]) -> None:
        """Forward until one side closes; then both are closed. Kafka, Postgres and HTTP need no half-open connection."""
        tasks = [self._loop.create_task(pump) for pump in pumps]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(_CHUNK):
            await self._flowing.wait()
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            sink.write(data)
            await sink.drain()
