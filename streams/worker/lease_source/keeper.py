"""Keeps jobs ours: says so every third of a lease, settles what is done, gives back what is not to be done here.

A thread of its own with a connection of its own, so that nothing the worker does meanwhile makes it late.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from connectors.lease_store import Grant, HeartbeatAnswer, LeaseStore
from schemas.errors import SluiceError, Unreachable
from streams import logs
from streams.worker.lease_source.held import HeldLease, HeldLeases

log = logs.get("worker")

#: However long the lease: an order to cancel is heard of by the answer.
BEAT_S = 2.0
#: After a store that did not answer.
AGAIN_S = 0.5


class LeaseKeeper:
    """`lost` and `cancelled` fill with what the main thread is to stop. `answered` is called after each answer of the store."""

    def __init__(self, store: LeaseStore, grips: HeldLeases, worker_id: str, processor: str) -> None:
        self._store = store
        self._grips = grips
        self._worker_id = worker_id
        self._lease_s = 30.0
        self._period_s = BEAT_S
        self._wake = threading.Event()
        self._stopping = False
        self._now = False
        self._done: deque[HeldLease] = deque()
        self._back: deque[tuple[Grant, bool]] = deque()
        self._thread = threading.Thread(target=self._run, name=f"heart-{processor}", daemon=True)
        self.lost: deque[HeldLease] = deque()
        self.cancelled: deque[HeldLease] = deque()
        self.answered: Callable[[], None] = lambda: None
        self.fault: SluiceError | None = None
        self.trouble: str | None = None  # why the store did not answer last time

    def start(self, lease_s: float) -> None:
        self._lease_s, self._period_s = lease_s, min(lease_s / 3, BEAT_S)
        self._thread.start()

    def beat_now(self) -> None:
        """Somebody must know whether a job is still ours."""
        self._now = True
        self._wake.set()

    def finished(self, grip: HeldLease) -> None:
        """Its result has reached the log."""
        self._grips.let_go(grip)
        self._done.append(grip)
        self._wake.set()

    def give_back(self, grant: Grant, *, started: bool) -> None:
        self._back.append((grant, started))
        self._wake.set()

    def stop(self, timeout: float) -> None:
        """After what is finished or given back has been told, if the store answers. What it never hears of expires."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    # ── the thread ──

    def _run(self) -> None:
        due = time.monotonic() + self._period_s
        try:
            while not (self._stopping and not self._done and not self._back):
                self._wake.wait(max(0.0, due - time.monotonic()))
                self._wake.clear()
                due = self._turn(due)
        except SluiceError as error:
            self.fault = error
        finally:
            self._store.close()

    def _turn(self, due: float) -> float:
        """Tell what there is to tell; when the next beat is due."""
        try:
            self._tell()
            if self._now or time.monotonic() >= due:
                self._now = False
                self._beat()
                due = time.monotonic() + self._period_s
            self.trouble = None
        except Unreachable as error:
            self.trouble = error.message
            log.warning("lease_store_unavailable", reason=error.message, held=len(self._grips))
            if self._stopping:
                self._done.clear()
                self._back.clear()
            self._now = True
            due = time.monotonic() + AGAIN_S
        return due

    def _tell(self) -> None:
        while self._done:
            grant = self._done[0].grant
            self._store.settle(grant.job_id, grant.run, grant.fence)
            self._done.popleft()
        while self._back:
            grant, started = self._back[0]
            self._store.release(grant.job_id, grant.run, grant.fence, started=started)
            self._back.popleft()

    def _beat(self) -> None:
        asked_at = time.monotonic()
        if holds := self._grips.holds():
            self._obey(self._store.heartbeat(self._worker_id, holds, self._lease_s), asked_at)
            self.answered()

    def _obey(self, answer: HeartbeatAnswer, asked_at: float) -> None:
        for grip in self._grips.of_keys(answer.renewed):
            grip.until = asked_at + self._lease_s
        for grip in self._grips.of_keys(answer.lost):
            grip.lost = True
            self._grips.lose(grip)
            self.lost.append(grip)
        for grip in self._grips.of_keys(answer.cancelled):
            if not grip.cancelled:
                grip.cancelled = True
                self.cancelled.append(grip)
