"""Makes deliveries: holds each from its claim until its try is recorded. Runs on one event loop.

    submitted, or claimed ─▶ queue of its destination ─▶ one try ─▶ delivered | due again | parked | gone | refused

A dispatcher holds deliveries under a notifier id whose lease it renews in the store. If a lease runs out, other notifiers may
claim its deliveries; so it stops trying, drops what it holds, and continues under a new id.
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

#: Seconds until other notifiers may claim the deliveries of one that has not renewed its lease.
LEASE_S = 6.0
RENEW_S = 1.5
#: Deliveries claimed at once.
CLAIM = 500
#: With this many deliveries held, the sink hands off no more: any notifier may claim the next ones.
BACKLOG = 20_000
#: Seconds between two looks for deliveries that were stored under this notifier's id but never submitted.
RECONCILE_S = 10.0
_FINAL_STATES = {TryResult.DELIVERED: "delivered", TryResult.GONE: "gone", TryResult.REFUSED: "refused"}


class Delivers(Protocol):
    """Makes one try. Over HTTP it is `connectors.callbacks.deliver.Deliverer`."""

    async def deliver(self, callback: OutgoingCallback) -> DeliveryTry:
        """Try once, return the result. Raises InvalidInput for a callback that can't be sent at all."""
        ...


class DeliveryDispatcher:
    """`poll_s`: seconds between two polls of the store for due deliveries. `per_destination`: concurrent tries at most."""

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
        self._id = uuid.uuid4().bytes
        self._lease_ends_at = 0.0

    # ── for the sink and the health check ──

    @property
    def notifier_id(self) -> bytes | None:
        """Notifier id to write on the next deliveries; None lets any notifier claim them. Read from other threads."""
        ready = not self._stopping and len(self._held) < BACKLOG and time.monotonic() < self._lease_ends_at - RENEW_S
        return self._id if ready else None

    @property
    def held(self) -> int:
        """The number of deliveries that wait here or are in flight. Read from other threads."""
        return len(self._held)

    @property
    def lease_valid(self) -> bool:
        """True while no other notifier may claim its deliveries. Read from other threads."""
        return time.monotonic() < self._lease_ends_at

    def accept(self, deliveries: Iterable[PendingDelivery]) -> None:
        """Queue these deliveries, except those that are held already."""
        touched: dict[str, Destination] = {}
        for delivery in deliveries:
            if delivery.delivery_id in self._held:
                continue
            self._held[delivery.delivery_id] = delivery
            name = name_of(delivery.destination)
            destination = touched.get(name) or touched.setdefault(name, self._destination(name))
            destination.queue.append(delivery)
        for destination in touched.values():
            self._start_tries(destination)

    def accept_stored(self, notifier: bytes, deliveries: Iterable[PendingDelivery]) -> None:
        """Queue deliveries that were stored under this notifier id, unless its lease has run out meanwhile: then others may
        claim them."""
        if notifier == self._id and self.lease_valid:
            self.accept(deliveries)

    def reconcile(self) -> None:
        """Look soon for deliveries that were stored under this notifier's id but never submitted."""
        self._reconcile_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; then finish and record the tries in flight, and release the other deliveries."""
        await self._renew()
        loops = [asyncio.create_task(loop()) for loop in (self._keep_alive, self._keep_claiming, self._keep_recording)]
        await stop.wait()
        self._stopping = True
        await asyncio.gather(*self._tasks)
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await self._record()
        await self._call(lambda: self._store.retire(self._id))
        self._thread.shutdown()

    # ── trying ──

    def _destination(self, name: str) -> Destination:
        destination = self._destinations.get(name)
        if destination is None:
            destination = self._destinations[name] = Destination(Breaker(time.monotonic))
        return destination

    def _start_tries(self, destination: Destination) -> None:
        for _ in range(min(len(destination.queue), self._per_destination - destination.active)):
            destination.active += 1
            task = asyncio.create_task(self._work_off(destination))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work_off(self, destination: Destination) -> None:
        try:
            while destination.queue and not self._stopping and time.monotonic() < self._lease_ends_at:
                if not destination.breaker.acquire():
                    self._release(destination)
                    return
                await self._try(destination, destination.queue.popleft())
        finally:
            destination.active -= 1

    async def _try(self, destination: Destination, delivery: PendingDelivery) -> None:
        try:
            tried = await self._deliverer.deliver(delivery.callback())
        except InvalidInput as error:
            tried = DeliveryTry(None, 0.0, str(error), TryResult.REFUSED)
        destination.update_breaker(tried)
        state, due_in_s = self._next_state(delivery, tried)
        self._add(TryRow(delivery.delivery_id, state, int(due_in_s * 1000), True, tried.status, tried.ms, tried.error))

    def _next_state(self, delivery: PendingDelivery, tried: DeliveryTry) -> tuple[str, float]:
        """Return the delivery's state, and the seconds until it is due again."""
        if tried.result is not TryResult.RETRY:
            return _FINAL_STATES[tried.result], 0.0
        wait = next_try(delivery.tries + 1, self._rng, tried.retry_after_s)
        return ("parked", 0.0) if wait is None else ("pending", wait)

    def _release(self, destination: Destination) -> None:
        """Return the queue to the store, due when the open circuit may be probed next."""
        wait = max(1.0, destination.breaker.retry_in_s()) * self._rng.uniform(1.0, 1.1)
        while destination.queue:
            delivery = destination.queue.popleft()
            self._add(TryRow(delivery.delivery_id, "pending", int(wait * 1000), False, None, 0.0, None))

    # ── the store ──

    def _add(self, row: TryRow) -> None:
        self._tried.append(row)
        self._has_tried.set()

    async def _keep_recording(self) -> None:
        while True:
            await self._has_tried.wait()
            if not await self._record():
                await asyncio.sleep(0.5)

    async def _record(self) -> bool:
        """Record the tries made so far. If the store is unreachable, keep them and return False."""
        rows, self._tried = self._tried, []
        self._has_tried.clear()
        if not rows:
            return True
        try:
            await self._call(lambda: self._store.record(rows))
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
        if self._lease_ends_at and time.monotonic() >= self._lease_ends_at:
            self._change_id()
        asked_at = time.monotonic()
        try:
            await self._call(lambda: self._store.renew(self._id, LEASE_S))
        except SluiceError as error:
            log.warning("lease_not_renewed", reason=str(error))
        else:
            self._lease_ends_at = asked_at + LEASE_S

    def _change_id(self) -> None:
        """Drop the queued deliveries, whose lease has run out: any notifier may claim them, also this one under its new id."""
        log.warning("lease_expired", held=len(self._held))
        for destination in self._destinations.values():
            for delivery in destination.queue:
                self._held.pop(delivery.delivery_id, None)
            destination.queue.clear()
        self._id = uuid.uuid4().bytes

    async def _keep_claiming(self) -> None:
        while True:
            claimed = await self._claim()
            if claimed < CLAIM:
                await asyncio.sleep(self._poll_s)

    async def _claim(self) -> int:
        if self._stopping or len(self._held) >= CLAIM * 4 or time.monotonic() >= self._lease_ends_at:
            return 0
        try:
            claimed = await self._call(lambda: self._store.claim(self._id, CLAIM))
            if time.monotonic() >= self._reconcile_at and len(self._held) < CLAIM:
                claimed += await self._call(lambda: self._store.held(self._id, CLAIM * 2))
                self._reconcile_at = time.monotonic() + RECONCILE_S
        except SluiceError as error:
            log.warning("deliveries_not_claimed", reason=str(error))
            await asyncio.sleep(0.5)
            return 0
        self.accept(_pending(delivery) for delivery in claimed)
        return len(claimed)

    async def _call(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _pending(claimed: ClaimedDelivery) -> PendingDelivery:
    return PendingDelivery(claimed.delivery_id, claimed.destination, claimed.row, claimed.tries)
