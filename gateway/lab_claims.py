"""Claims by long poll: many idle workers wait for jobs, and no thread waits with them.

Waiting claims of one processor (and tenant) stand in a queue. One task per queue asks the store for the first of them, and
again when a notice says that jobs of the processor became claimable. A notice may get lost, so it asks at least every second.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from connectors.lease_store import Grant, LeaseStore
from gateway.store_pool import StorePool
from schemas.errors import Unreachable

#: Seconds between two looks without a notice: the price of a lost one.
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's claim. `owner`: the worker, as its leases name it. `tenant`: whose jobs; None for all."""

    processor: str
    tenant: str | None
    owner: str
    count: int
    lease_s: float
    executions: int

    def ask(self, store: LeaseStore) -> list[Grant]:
        return store.claim(
            self.processor, self.owner, self.count, self.lease_s, executions=self.executions, tenant=self.tenant
        )


@dataclass(eq=False, slots=True)
class _Waiting:
    """A claim in its queue. `hasty`: it waits for one look and no longer."""

    claim: Claim
    hasty: bool
    granted: asyncio.Future[list[Grant]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


_Key = tuple[str, str | None]


class ClaimQueue:
    """Lives in the event loop. Once `stopping` is set, claims find nothing, so that workers turn to another gateway."""

    def __init__(self, leases: StorePool[LeaseStore], stopping: asyncio.Event) -> None:
        self._leases = leases
        self._stopping = stopping
        self._queues: dict[_Key, deque[_Waiting]] = {}
        self._tasks: dict[_Key, asyncio.Task[None]] = {}
        self._notices: dict[str, asyncio.Event] = {}

    async def run(self) -> None:
        """End all tasks when cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def claim(self, claim: Claim, wait_s: float, gone: Coroutine[Any, Any, None]) -> list[Grant]:
        """Return granted leases; [] if there are none within `wait_s`. Raises Unreachable.

        `gone` ends when the worker hangs up: what is granted after that is released at once.
        """
        waiting, key = _Waiting(claim, wait_s == 0), (claim.processor, claim.tenant)
        self._queues.setdefault(key, deque()).append(waiting)
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._serve(key))
        hung_up, stopped = asyncio.create_task(gone), asyncio.create_task(self._stopping.wait())
        try:
            done = (waiting.granted, hung_up, stopped)
            timeout = None if waiting.hasty else wait_s
            await asyncio.wait(done, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.granted.done():
                return []
            grants = waiting.granted.result()
            if hung_up.done():
                await self._release(grants)
            return grants
        finally:
            for each in (waiting.granted, hung_up, stopped):
                each.cancel()

    def notice(self, processors: Iterable[str]) -> None:
        """Look again for these processors. From the event loop's thread."""
        for processor in processors:
            if processor in self._notices:
                self._notices[processor].set()

    async def _serve(self, key: _Key) -> None:
        queue, notice = self._queues[key], self._notices.setdefault(key[0], asyncio.Event())
        try:
            while queue:
                notice.clear()
                await self._grant(queue)
                if queue:
                    with suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(notice.wait(), LOOK_S)
        except Exception as error:  # noqa: BLE001 - every waiting claim raises it
            for waiting in queue:
                if not waiting.granted.done():
                    waiting.granted.set_exception(error)
        finally:
            del self._queues[key], self._tasks[key]

    async def _grant(self, queue: deque[_Waiting]) -> None:
        """Serve claims in turn, until there is none or the store has no job for the next."""
        while queue:
            waiting = queue[0]
            if not waiting.granted.done():
                grants = await self._leases.call(waiting.claim.ask)
                if waiting.granted.done():  # it gave up while we asked
                    await self._release(grants)
                elif grants:
                    waiting.granted.set_result(grants)
                else:
                    self._answer_hasty(queue)
                    return
            queue.popleft()

    def _answer_hasty(self, queue: deque[_Waiting]) -> None:
        for waiting in queue:
            if waiting.hasty and not waiting.granted.done():
                waiting.granted.set_result([])

    async def _release(self, grants: list[Grant]) -> None:
        """Let others claim what was granted to a worker that has hung up. Where that fails, the leases expire."""
        for grant in grants:
            with suppress(Unreachable):
                await self._leases.call(partial(_release, grant))


def _release(grant: Grant, store: LeaseStore) -> None:
    store.release(grant.job_id, grant.run, grant.fence, started=False)
