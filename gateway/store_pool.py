"""Threads that call a store, so that the event loop never waits for the database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from schemas.errors import SluiceError


class _Closable(Protocol):
    def close(self) -> None: ...


S = TypeVar("S", bound=_Closable)
T = TypeVar("T")


class StorePool(Generic[S]):
    """`open_store` makes a store (not connected yet); each thread uses one of its own. Thread-safe."""

    def __init__(self, open_store: Callable[[], S], *, threads: int, name: str) -> None:
        self._open = open_store
        self._threads = ThreadPoolExecutor(threads, f"gateway-{name}")
        self._own = threading.local()
        self._opened: list[S] = []

    async def call(self, use: Callable[[S], T]) -> T:
        """Run `use` with a store on one of the threads. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._use, use)

    def _use(self, use: Callable[[S], T]) -> T:
        store: S | None = getattr(self._own, "store", None)
        if store is None:
            store = self._own.store = self._open()
            self._opened.append(store)
        return use(store)

    def close(self) -> None:
        """End calls that still run (the database may be frozen) and disconnect."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for store in self._opened:
            abort: Callable[[], Any] | None = getattr(store, "abort", None)
            if abort is not None:
                abort()
        self._threads.shutdown(wait=True)
        for store in self._opened:
            with suppress(SluiceError):
                store.close()
