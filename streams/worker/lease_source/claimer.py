"""Claims jobs from the lease store on its own thread: only as many as the engine can run now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from connectors.lease_store import Grant
from schemas.errors import SluiceError, Unreachable
from streams import logs
from streams.health.loop_threads import LoopThreads

log = logs.get("worker")

#: How long one call waits for a job. The store answers at once when there is one; this bounds the delay after a lost
#: notification, and how late a stopping worker notices.
WAIT_S = 1.0
#: Pause after the store did not answer.
PAUSE_AFTER_FAILURE_S = 1.0


class ClaimedGrants(NamedTuple):
    """Grants, and when (monotonic) we asked for them: their leases began later than that."""

    asked_at: float
    grants: list[Grant]


class Claimer:
    """`claim(count, wait_s)` asks the store; `close` is called when the thread ends."""

    def __init__(
        self,
        claim: Callable[[int, float], list[Grant]],
        close: Callable[[], None],
        processor: str,
        threads: LoopThreads,
        wait_s: float = WAIT_S,
    ) -> None:
        self._claim = claim
        self._close = close
        self._wait_s = wait_s
        self._changed = threading.Condition()
        self._wanted = 0
        self._found: list[ClaimedGrants] = []
        self._stopping = False
        self._thread = threads.new(f"claim-{processor}", self._run, lambda: self._stopping or self.fault is not None)
        self.fault: SluiceError | None = None
        self.store_fault: str | None = None  # why the store did not answer last time

    def start(self) -> None:
        self._thread.start()

    def ask(self, count: int) -> None:
        """Claim until `count` jobs are found, including those that were found and not taken yet."""
        with self._changed:
            self._wanted = count - sum(len(claimed.grants) for claimed in self._found)
            self._changed.notify_all()

    def take(self, timeout: float) -> list[ClaimedGrants]:
        """Return what was found; wait for the first."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._found) or self.fault is not None, timeout)
            found, self._found = self._found, []
            return found

    def stop(self, timeout: float) -> list[ClaimedGrants]:
        """End the thread, waiting for it at the first call only; return what was found and never taken.

        If it never began, its store is closed here.
        """
        with self._changed:
            first, self._stopping = not self._stopping, True
            self._changed.notify_all()
        if first and self._thread.ident is None:
            self._close()
        elif first:
            self._thread.join(timeout)
        return self.take(0)

    def _run(self) -> None:
        try:
            while (count := self._next_count()) is not None:
                self._find(count)
        except SluiceError as error:
            with self._changed:
                self.fault = error
                self._changed.notify_all()
        finally:
            self._close()

    def _next_count(self) -> int | None:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted > 0 or self._stopping)
            return None if self._stopping else self._wanted

    def _find(self, count: int) -> None:
        asked_at = time.monotonic()
        try:
            grants, self.store_fault = self._claim(count, self._wait_s), None
        except Unreachable as error:
            self.store_fault = error.message
            log.warning("lease_store_unavailable", reason=error.message)
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, PAUSE_AFTER_FAILURE_S)
            return
        with self._changed:
            if grants:
                self._wanted = 0  # until the engine has taken these and asks again
                self._found.append(ClaimedGrants(asked_at, grants))
                self._changed.notify_all()
