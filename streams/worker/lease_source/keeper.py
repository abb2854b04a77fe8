"""Keeps leases: renews them every third of their length and at least every 2 s, settles what is done, releases the rest.

It has its own thread and its own connection, so that no other work of the worker delays a renewal.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from connectors.lease_store import Grant, HeartbeatAnswer, WorkerLeases
from schemas.errors import SluiceError, Unreachable
from streams import logs
from streams.health.loop_threads import LoopThreads
from streams.worker.lease_source.held import HeldLease, HeldLeases

log = logs.get("worker")

#: Longest time between heartbeats, however long the lease: their answers carry the cancels.
HEARTBEAT_S = 2.0
#: Pause after the store did not answer.
PAUSE_AFTER_FAILURE_S = 0.5


class LeaseKeeper:
    """`lost` and `cancelled` collect leases whose jobs the engine must stop."""

    def __init__(
        self,
        store: WorkerLeases,
        leases: HeldLeases,
        worker_id: str,
        processor: str,
        lease_s: float,
        threads: LoopThreads,
    ) -> None:
        self._store = store
        self._leases = leases
        self._worker_id = worker_id
        self._lease_s = lease_s
        self._period_s = min(lease_s / 3, HEARTBEAT_S)
        self._wake = threading.Event()
        self._stopping = False
        self._renew_now = False
        self._settled: deque[HeldLease] = deque()
        self._released: deque[tuple[Grant, bool]] = deque()
        self._thread = threads.new(f"keeper-{processor}", self._run, lambda: self._stopping or self.fault is not None)
        self.lost: deque[HeldLease] = deque()
        self.cancelled: deque[HeldLease] = deque()
        self.fault: SluiceError | None = None
        self.store_fault: str | None = None  # why the store did not answer last time

    def start(self) -> None:
        self._thread.start()

    def renew_now(self) -> None:
        """Send a heartbeat now: someone must know whether a job is still ours. While the store is away this changes nothing."""
        if not self._renew_now:
            self._renew_now = True
            self._wake.set()

    def settle(self, lease: HeldLease) -> None:
        """Settle a lease whose result is in the log, unless it is not ours any more."""
        self._leases.remove(lease)
        if not lease.lost:
            self._settled.append(lease)
        self._wake.set()

    def release(self, grant: Grant, *, started: bool) -> None:
        """Let others claim the job at once. `started`: an execution of it has begun here."""
        log.info("job_released", job_id=grant.job_id, run=grant.run, started=started)
        self._released.append((grant, started))
        self._wake.set()

    def stop(self, timeout: float) -> None:
        """Settle and release what is left, if the store answers, and end the thread. Leases that the store does not hear of
        expire. If the thread never began, its store is closed here."""
        self._stopping = True
        self._wake.set()
        if self._thread.ident is None:
            self._store.close()
        else:
            self._thread.join(timeout)

    # ── the thread ──

    def _run(self) -> None:
        due = time.monotonic() + self._period_s
        try:
            while not (self._stopping and not self._settled and not self._released):
                self._wake.wait(max(0.0, due - time.monotonic()))
                self._wake.clear()
                due = self._turn(due)
        except SluiceError as error:
            self.fault = error
        finally:
            self._store.close()

    def _turn(self, due: float) -> float:
        """Settle, release and renew what is due; return when the next heartbeat is due."""
        try:
            self._settle_and_release()
            if self._renew_now or time.monotonic() >= due:
                self._renew_now = False
                self._renew()
                due = time.monotonic() + self._period_s
            self.store_fault = None
        except Unreachable as error:
            self.store_fault = error.message
            log.warning("lease_store_unavailable", reason=error.message, held=len(self._leases))
            if self._stopping:
                self._settled.clear()
                self._released.clear()
            self._renew_now = True
            due = time.monotonic() + PAUSE_AFTER_FAILURE_S
        return due

    def _settle_and_release(self) -> None:
        while self._settled:
            grant = self._settled[0].grant
            self._store.settle(grant.job_id, grant.run, grant.fence)
            self._settled.popleft()
        while self._released:
            grant, started = self._released[0]
            self._store.release(grant.job_id, grant.run, grant.fence, started=started)
            self._released.popleft()

    def _renew(self) -> None:
        asked_at = time.monotonic()
        if holds := self._leases.holds():
            self._apply(self._store.heartbeat(self._worker_id, holds, self._lease_s), asked_at)

    def _apply(self, answer: HeartbeatAnswer, asked_at: float) -> None:
        for lease in self._leases.by_keys(answer.renewed):
            lease.renew(asked_at + self._lease_s)
        for lease in self._leases.by_keys(answer.lost):
            lease.mark(lost=True)
            self._leases.remove(lease)
            self.lost.append(lease)
        for lease in self._leases.by_keys(answer.cancelled):
            if not lease.cancelled:
                lease.mark(cancelled=True)
                self.cancelled.append(lease)
