"""Everything the routes use, made once per gateway: settings, stores on threads, and tasks that run beside the requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, Request

from connectors.job_store import JobStore
from gateway.principal import Authenticator
from gateway.store_pool import StorePool
from streams import logs, wiring
from streams.health.loop_threads import LoopThreads
from streams.settings import Settings

log = logs.get("gateway")

#: Threads that read jobs, each with a connection of its own.
READERS = 4


class Ports:
    """`authenticator`: None lets everyone in, as tenant `default`. Close it at the end.

    `started` is set once the tasks run. `stopping` is set when the gateway begins to stop: a response that streams, or waits
    for long, ends then.
    """

    def __init__(self, settings: Settings) -> None:
        self._open = ExitStack()
        self.settings = settings
        self.authenticator: Authenticator | None = None
        self.started = asyncio.Event()
        self.stopping = asyncio.Event()
        #: Tasks beside the requests, by name. One that ends by itself ends the gateway.
        self.tasks: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {}
        self.loops = LoopThreads("gateway", log)
        self.jobs: StorePool[JobStore] = self._pool(lambda: wiring.job_store(settings), READERS, "jobs")

    def _pool(self, open_store: Callable[[], Any], threads: int, name: str) -> StorePool[Any]:
        pool: StorePool[Any] = StorePool(open_store, threads=threads, name=name)
        self._open.callback(pool.close)
        return pool

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the tasks while the block runs."""
        running = [asyncio.create_task(self._watched(name, task)) for name, task in self.tasks.items()]
        self.started.set()
        try:
            yield
        finally:
            self.stopping.set()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _watched(self, name: str, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
        error: BaseException | None = None
        try:
            await task()
        except asyncio.CancelledError:
            raise
        except Exception as caught:  # noqa: BLE001 - noted, and raised when the gateway ends
            error = caught
        if error is not None or not self.stopping.is_set():
            self.loops.died(name, error)

    def close(self) -> None:
        self._open.close()


def _of(request: Request) -> Ports:
    ports: Ports = request.app.state.ports
    return ports


#: The parameter of a route that uses the ports.
P = Annotated[Ports, Depends(_of)]
