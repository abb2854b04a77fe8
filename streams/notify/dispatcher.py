"""Makes deliveries: holds each from its handoff or claim until its try is recorded. Runs on one event loop.

    handed off, or claimed ─▶ queue of its tenant and destination ─▶ one try ─▶ delivered | due again | parked | gone | refused

A dispatcher holds deliveries under a notifier id whose lease it renews in the store. If a lease runs out, other notifiers may
claim its deliveries; so it stops trying, drops what it holds, and continues under a new id.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
import uuid
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Protocol

from connectors.callbacks.delivery_try import DeliveryTry, OutgoingCallback, TryResult
from connectors.delivery_store import HOLD_S, Busy, DeliveryStore
from schemas.errors import InvalidInput, SluiceError
from streams import logs
from streams.health.loop_threads import frames_of
from streams.notify.held_deliveries import HANDED_OFF, MIB, HeldDeliveries, Load
from streams.notify.pending_delivery import PendingDelivery
from streams.notify.slots import DeliverySlots, Refused, Slot
from streams.notify.store_thread import StoreThread
from streams.notify.try_recorder import TryRecorder

log = logs.get("notify")

#: Seconds until other notifiers may claim the deliveries of one that has not renewed its lease.
LEASE_S = 6.0
RENEW_S = 1.5
#: Deliveries claimed at once, and their bytes.
CLAIM = 500
CLAIM_BYTES = 8 * MIB
#: After a claim of at least so many, the next one follows at once.
MANY = 50
#: Seconds between two looks for deliveries that were stored under this notifier's id but never handed off.
RECONCILE_S = 10.0
#: Seconds that deliveries wait at least whose destination's circuit is open.
SHORTEST_WAIT_S = 1.0
#: Seconds that the store may take to record the last tries of a dispatcher that stops.
STOP_S = 10.0


class Delivers(Protocol):
    """Makes one try. Over HTTP it is `connectors.callbacks.deliver.Deliverer`."""

    async def deliver(self, callback: OutgoingCallback) -> DeliveryTry:
        """Try once, return the result. Raises InvalidInput for a callback that can't be sent at all."""
        ...


class DeliveryDispatcher:
    """`poll_s`: seconds between two polls of the store for due deliveries. `per_destination`: concurrent tries at most.

    Closes the store at the end of `run`.
    """

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
        self._store = StoreThread(store)
        self._poll_s = poll_s
        self._rng = random.Random(seed)  # noqa: S311 (jitter)
        self._slots = DeliverySlots(per_destination)
        self._held = HeldDeliveries()
        self._recorder = TryRecorder(self._store, self._held.remove)
        self._tasks: set[asyncio.Task[None]] = set()
        self._died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stopping = False
        self._reconcile_at = 0.0
        self._id = uuid.uuid4().bytes
        self._lease_ends_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._passing = Load()  # handed off, and not accepted by the event loop yet; guarded by the lock

    # ── for the sink and the health check, from other threads ──

    @property
    def notifier_id(self) -> bytes | None:
        """Notifier id to write on the next deliveries; None lets any notifier claim them."""
        held, passing = self._held.handed_off, self._passing
        full = Load(held.number + passing.number, held.bytes + passing.bytes).reaches(HANDED_OFF)
        ready = not self._stopping and not full and time.monotonic() < self._lease_ends_at - RENEW_S
        return self._id if ready else None

    @property
    def held(self) -> Load:
        """The deliveries that wait here or are in flight."""
        handed_off, claimed = self._held.handed_off, self._held.claimed
        return Load(handed_off.number + claimed.number, handed_off.bytes + claimed.bytes)

    @property
    def lease_valid(self) -> bool:
        """True while no other notifier may claim its deliveries."""
        return time.monotonic() < self._lease_ends_at

    def hand_off(self, notifier: bytes, deliveries: Sequence[PendingDelivery]) -> None:
        """Send deliveries that were stored under this notifier id."""
        with self._lock:
            self._passing.add_all(deliveries)
        with contextlib.suppress(RuntimeError):  # the event loop has ended: its lease runs out, and others claim them
            self._loop.call_soon_threadsafe(self._accept_handed_off, notifier, deliveries)

    def reconcile(self) -> None:
        """Look soon for deliveries that were stored under this notifier's id but never handed off."""
        self._reconcile_at = 0.0

    # ── the loops ──

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; then finish and record the tries in flight, and release the other deliveries.

        Raises the exception that ended one of its tasks: it closes then too, and what it held is claimed by others.
        """
        await self._renew()
        recording = self._task(self._recorder.run())
        loops = [self._task(self._keep_alive()), self._task(self._keep_claiming())]
        stopped: asyncio.Future[Any] = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopped, self._died], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            await self._close(recording, loops)
        if self._died.done():
            self._died.result()

    def _task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Note the death of a task, which ends the dispatcher: whatever it was, its work would never be done again."""
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None or self._died.done():
            return
        log.error("task_died", reason=type(error).__name__, frames=frames_of(error))
        self._died.set_exception(error)

    async def _close(self, recording: asyncio.Task[None], loops: Sequence[asyncio.Task[None]]) -> None:
        self._stopping = True
        tries = self._tasks - {recording, *loops}
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*tries, *loops, return_exceptions=True)
        self._recorder.end()
        await asyncio.wait([recording], timeout=STOP_S)
        recording.cancel()
        await asyncio.gather(recording, return_exceptions=True)
        if len(self._recorder):
            log.warning(
                "tries_lost", count=len(self._recorder), next="they are tried again under the same delivery ids"
            )
        try:
            await asyncio.wait_for(self._note_health(), RENEW_S)
            await asyncio.wait_for(self._store.call(lambda store: store.retire(self._id)), RENEW_S)
        except (SluiceError, TimeoutError) as error:  # its lease runs out by itself
            log.warning("notifier_not_retired", reason=str(error) or "no answer")
            self._store.abort()
        self._store.close()

    # ── deliveries come in ──

    def _accept_handed_off(self, notifier: bytes, deliveries: Sequence[PendingDelivery]) -> None:
        with self._lock:
            self._passing.add_all(deliveries, -1)
        # If the lease has run out since they were stored, others may claim them.
        if notifier == self._id and self.lease_valid:
            self._accept(deliveries, claimed=False)

    def _accept(self, deliveries: Iterable[PendingDelivery], *, claimed: bool) -> None:
        """Queue these deliveries, except those that are held already, and start tries."""
        for delivery in deliveries:
            if delivery.delivery_id not in self._held:
                self._held.add(delivery, self._slots.add(delivery), claimed=claimed)
        while (slot := self._take()) is not None:
            self._task(self._work(slot))

    async def _keep_claiming(self) -> None:
        while True:
            if await self._claim() < MANY:
                await asyncio.sleep(self._poll_s)

    async def _claim(self) -> int:
        free = self._held.free
        if not self.lease_valid or free.number < 2 or free.bytes < 2:
            return 0
        number, size = min(CLAIM, free.number // 2), min(CLAIM_BYTES, free.bytes // 2)
        hold_ends_at = time.monotonic() + HOLD_S
        me, busy = self._id, Busy(self._held.full_tenants(), self._slots.blocked(self._held.full_destinations()))
        try:
            claimed = await self._store.call(lambda store: store.claim(me, number, size, busy))
            if time.monotonic() >= self._reconcile_at:
                claimed += await self._store.call(lambda store: store.held(me, number, size))
                self._reconcile_at = time.monotonic() + RECONCILE_S
        except SluiceError as error:
            log.warning("deliveries_not_claimed", reason=str(error))
            await asyncio.sleep(0.5)
            return 0
        if me != self._id or not self.lease_valid:  # others may claim them by now
            return 0
        self._accept((PendingDelivery.claimed(one, me, hold_ends_at) for one in claimed), claimed=True)
        return len(claimed)

    # ── tries ──

    def _take(self) -> Slot | None:
        """Take the next delivery that may be tried now. Returns those whose circuit is open to the store."""
        while not self._stopping and self.lease_valid:
            taken = self._slots.take()
            if not isinstance(taken, Refused):
                return taken
            wait = max(SHORTEST_WAIT_S, taken.retry_in_s) * self._rng.uniform(1.0, 1.1)
            for delivery in taken.deliveries:
                self._recorder.add(delivery.record("pending", wait))
        return None

    async def _work(self, slot: Slot | None) -> None:
        """Make this try, then the next ones, until no delivery may be tried."""
        while slot is not None:
            tried = await self._try(slot.delivery)
            self._slots.finish(slot, tried)
            state, due_in_s = slot.delivery.next_state(tried, self._rng)
            self._recorder.add(slot.delivery.record(state, due_in_s, tried))
            slot = self._take()

    async def _try(self, delivery: PendingDelivery) -> DeliveryTry:
        """Try once. Whatever the destination or the job's values raise costs this one delivery a try, and nothing else."""
        if (result := delivery.result_without_a_try()) is not None:
            return result
        began = time.perf_counter()
        try:
            return await self._deliverer.deliver(delivery.callback())
        except InvalidInput as error:
            return DeliveryTry(None, 0.0, str(error), TryResult.REFUSED)
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            log.error("try_failed", reason=type(error).__name__, frames=frames_of(error))
            ms = (time.perf_counter() - began) * 1000
            return DeliveryTry(None, ms, f"The try ended with {type(error).__name__}.", TryResult.RETRY)

    # ── the lease ──

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            await self._renew()
            await self._note_health()

    async def _note_health(self) -> None:
        """Store how the destinations did, for operators. Without a store these tries are not counted."""
        tries, circuits = self._slots.take_health()
        if tries or circuits:
            try:
                await self._store.call(lambda store: store.note_destinations(tries, circuits))
            except SluiceError as error:
                log.warning("destinations_not_noted", reason=str(error))

    async def _renew(self) -> None:
        if self._lease_ends_at and not self.lease_valid:
            self._change_id()
        asked_at = time.monotonic()
        try:
            me = self._id
            await self._store.call(lambda store: store.renew(me, LEASE_S))
        except SluiceError as error:
            log.warning("lease_not_renewed", reason=str(error))
        else:
            self._lease_ends_at = asked_at + LEASE_S

    def _change_id(self) -> None:
        """Drop the queued deliveries, whose lease has run out: any notifier may claim them, also this one under its new id."""
        log.warning("lease_expired", held=len(self._held))
        for delivery in self._slots.drain():
            self._held.remove(delivery.delivery_id)
        self._id = uuid.uuid4().bytes
