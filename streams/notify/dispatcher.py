"""Owns every delivery between its claim and the record of its try. Runs on one event loop.

    handed over, or claimed ─▶ queue of its destination ─▶ one try ─▶ delivered | due again | parked | gone | refused

A courier holds deliveries under an identity that it keeps alive in the store. When the store has not heard of it for a lease,
others may take what it holds; so it then stops trying, forgets, and goes on under a new identity.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from connectors.callbacks.breaker import Breaker
from connectors.callbacks.delivery_try import DeliveryTry, OutgoingCallback, TryResult
from connectors.callbacks.schedule import next_try
from connectors.delivery_store import ClaimedDelivery, DeliveryStore, TryRow
from schemas.errors import InvalidInput, SluiceError
from streams import logs
from streams.notify.destination import Destination, name_of
from streams.notify.pending_delivery import PendingDelivery

log = logs.get("notify")
T = TypeVar("T")

LEASE_S = 6.0
RENEW_S = 1.5
#: Deliveries claimed at once, and how many are held at most before no more are taken.
CLAIM = 500
BACKLOG = 20_000
RECONCILE_S = 10.0
_ENDS = {TryResult.DELIVERED: "delivered", TryResult.GONE: "gone", TryResult.REFUSED: "refused"}


class Delivers(Protocol):
    """Makes one try, and says what came of it: `connectors.callbacks.deliver.Deliverer` over HTTP."""

    async def deliver(self, delivery: OutgoingCallback) -> DeliveryTry:
        """Raises InvalidInput for what can't be sent at all."""
        ...


class DeliveryDispatcher:
    """`poll_s`: how often the store is asked for what is due."""

    def __init__(
        self,
        deliverer: Delivers,
        store: DeliveryStore,
        *,
        per_destination: int,
        poll_s: float,
        seed: int | None = None,
    ) -> None:
        self._deliverer = deliverer
        self._store = store
        self._per_destination = per_destination
        self._poll_s = poll_s
        self._rng = random.Random(seed)  # noqa: S311 (jitter)
        self._thread = ThreadPoolExecutor(1, "notify-store")  # the store is used by one thread
        self._destinations: dict[str, Destination] = {}
        self._held: dict[bytes, PendingDelivery] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tried: list[TryRow] = []
        self._has_tried = asyncio.Event()
        self._stopping = False
        self._reconcile_at = 0.0
        self._identity = uuid.uuid4().bytes
        self._alive_until = 0.0

    # ── what others ask ──

    @property
    def taker(self) -> bytes | None:
        """Under whose name deliveries may be stored that are handed over right after; None: leave them to be claimed.

        Read from other threads."""
        ready = not self._stopping and len(self._held) < BACKLOG and time.monotonic() < self._alive_until - RENEW_S
        return self._identity if ready else None

    @property
    def held(self) -> int:
        """Deliveries that wait here or are under way. Read from other threads."""
        return len(self._held)

    @property
    def leased(self) -> bool:
        """Whether what it holds is its own. Read from other threads."""
        return time.monotonic() < self._alive_until

    def accept(self, owed: Iterable[PendingDelivery]) -> None:
        """Take these on. What is held already is not taken twice."""
        touched: dict[str, Destination] = {}
        for one in owed:
            if one.delivery_id in self._held:
                continue
            self._held[one.delivery_id] = one
            name = name_of(one.destination)
            destination = touched.get(name) or touched.setdefault(name, self._destination(name))
            destination.queue.append(one)
        for destination in touched.values():
            self._start(destination)

    def reconcile(self) -> None:
        """Look soon for deliveries stored under our name that were never handed over."""
        self._reconcile_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then what is under way is finished and written down, and the rest is free for others."""
        await self._renew()
        loops = [asyncio.create_task(loop()) for loop in (self._keep_alive, self._keep_claiming, self._keep_recording)]
        await stop.wait()
        self._stopping = True
        await asyncio.gather(*self._tasks)
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await self._record()
        await self._ask(lambda: self._store.retire(self._identity))
        self._thread.shutdown()

    # ── trying ──

    def _destination(self, name: str) -> Destination:
        destination = self._destinations.get(name)
        if destination is None:
            destination = self._destinations[name] = Destination(Breaker(time.monotonic))
        return destination

    def _start(self, destination: Destination) -> None:
        for _ in range(min(len(destination.queue), self._per_destination - destination.active)):
            destination.active += 1
            task = asyncio.create_task(self._work_off(destination))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work_off(self, destination: Destination) -> None:
        try:
            while destination.queue and not self._stopping and time.monotonic() < self._alive_until:
                if not destination.breaker.acquire():
                    self._give_back(destination)
                    return
                await self._try(destination, destination.queue.popleft())
        finally:
            destination.active -= 1

    async def _try(self, destination: Destination, owed: PendingDelivery) -> None:
        try:
            made = await self._deliverer.deliver(owed.delivery())
        except InvalidInput as error:
            made = DeliveryTry(None, 0.0, str(error), TryResult.REFUSED)
        destination.judge(made)
        state, due_in_s = self._what_next(owed, made)
        self._note(TryRow(owed.delivery_id, state, int(due_in_s * 1000), True, made.status, made.ms, made.error))

    def _what_next(self, owed: PendingDelivery, made: DeliveryTry) -> tuple[str, float]:
        if made.result is not TryResult.RETRY:
            return _ENDS[made.result], 0.0
        wait = next_try(owed.tries + 1, self._rng, made.retry_after_s)
        return ("parked", 0.0) if wait is None else ("pending", wait)

    def _give_back(self, destination: Destination) -> None:
        """The circuit is open: what waits behind it waits in the store, until the next probe is due."""
        wait = max(1.0, destination.breaker.retry_in_s()) * self._rng.uniform(1.0, 1.1)
        while destination.queue:
            owed = destination.queue.popleft()
            self._note(TryRow(owed.delivery_id, "pending", int(wait * 1000), False, None, 0.0, None))

    # ── the store ──

    def _note(self, row: TryRow) -> None:
        self._tried.append(row)
        self._has_tried.set()

    async def _keep_recording(self) -> None:
        while True:
            await self._has_tried.wait()
            if not await self._record():
                await asyncio.sleep(0.5)

    async def _record(self) -> bool:
        """Write down what was tried so far; False if the store did not answer, then it is kept."""
        rows, self._tried = self._tried, []
        self._has_tried.clear()
        if not rows:
            return True
        try:
            await self._ask(lambda: self._store.record(rows))
        except SluiceError as error:
            log.warning("tries_not_recorded", count=len(rows), reason=str(error))
            self._tried = rows + self._tried
            self._has_tried.set()
            return False
        for row in rows:
            self._held.pop(row.delivery_id, None)
        return True

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            await self._renew()

    async def _renew(self) -> None:
        if self._alive_until and time.monotonic() >= self._alive_until:
            self._start_afresh()
        asked_at = time.monotonic()
        try:
            await self._ask(lambda: self._store.renew(self._identity, LEASE_S))
        except SluiceError as error:
            log.warning("lease_not_renewed", reason=str(error))
        else:
            self._alive_until = asked_at + LEASE_S

    def _start_afresh(self) -> None:
        """The lease has run out: what waits here belongs to others now, perhaps to us, under a new name."""
        log.warning("lease_expired", held=len(self._held))
        for destination in self._destinations.values():
            for owed in destination.queue:
                self._held.pop(owed.delivery_id, None)
            destination.queue.clear()
        self._identity = uuid.uuid4().bytes

    async def _keep_claiming(self) -> None:
        while True:
            claimed = await self._claim()
            if claimed < CLAIM:
                await asyncio.sleep(self._poll_s)

    async def _claim(self) -> int:
        if self._stopping or len(self._held) >= CLAIM * 4 or time.monotonic() >= self._alive_until:
            return 0
        try:
            claimed = await self._ask(lambda: self._store.claim(self._identity, CLAIM))
            if time.monotonic() >= self._reconcile_at and len(self._held) < CLAIM:
                claimed += await self._ask(lambda: self._store.held(self._identity, CLAIM * 2))
                self._reconcile_at = time.monotonic() + RECONCILE_S
        except SluiceError as error:
            log.warning("deliveries_not_claimed", reason=str(error))
            await asyncio.sleep(0.5)
            return 0
        self.accept(_owed(one) for one in claimed)
        return len(claimed)

    async def _ask(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)


def _owed(claimed: ClaimedDelivery) -> PendingDelivery:
    return PendingDelivery(claimed.delivery_id, claimed.destination, claimed.row, claimed.tries)
