"""The thread that calls the store, so that the event loop never waits for the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from connectors.delivery_store import DeliveryStore
from streams import logs

log = logs.get("notify")
T = TypeVar("T")


class StoreThread:
    """Runs one call at a time, in the order in which they were made. An exception of a call is raised to its caller."""

    def __init__(self, store: DeliveryStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, "notify-store")

    async def call(self, use: Callable[[DeliveryStore], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, use, self._store)

    def abort(self) -> None:
        """Make the call that runs now fail: the process can't end before."""
        self._store.abort()

    def close(self) -> None:
        """Close the store after the call that runs now, without waiting for it: the database may be frozen."""
        self._thread.submit(self._store.close).add_done_callback(_warn_if_failed)
        self._thread.shutdown(wait=False)


def _warn_if_failed(closed: Future[None]) -> None:
    if (error := closed.exception()) is not None:
        log.warning("store_not_closed", reason=type(error).__name__)
