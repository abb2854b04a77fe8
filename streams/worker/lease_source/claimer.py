"""Waits for jobs at the store, on a thread of its own: only as many as the main thread can run now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from connectors.lease_store import Grant
from schemas.errors import SluiceError, Unreachable
from streams import logs

log = logs.get("worker")

#: How long one call waits for a job. The store tells at once when there is one; this bounds what is missed, and how late a
#: stopping worker notices.
WAIT_S = 1.0
AGAIN_S = 1.0


class ClaimedGrants(NamedTuple):
    """Grants, and when, by our monotonic clock, they were asked for: their leases began later than that."""

    asked_at: float
    grants: list[Grant]


class Claimer:
    """`claim(count, wait_s)` asks the store; `close` is called when the thread ends."""

    def __init__(self, claim: Callable[[int, float], list[Grant]], close: Callable[[], None], processor: str) -> None:
        self._claim = claim
        self._close = close
        self._changed = threading.Condition()
        self._wanted = 0
        self._found: list[ClaimedGrants] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"claim-{processor}", daemon=True)
        self.fault: SluiceError | None = None
        self.trouble: str | None = None  # why the store did not answer last time

    def start(self) -> None:
        self._thread.start()

    def ask(self, count: int) -> None:
        """Up to so many jobs are wanted now, those included that were found and not yet taken."""
        with self._changed:
            self._wanted = count - sum(len(claimed.grants) for claimed in self._found)
            self._changed.notify_all()

    def take(self, timeout: float) -> list[ClaimedGrants]:
        """What was found; waits for something."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._found) or self.fault is not None, timeout)
            found, self._found = self._found, []
            return found

    def stop(self, timeout: float) -> list[ClaimedGrants]:
        """What was found and never taken."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return self.take(0)

    def _run(self) -> None:
        try:
            while (count := self._next()) is not None:
                self._look(count)
        except SluiceError as error:
            with self._changed:
                self.fault = error
                self._changed.notify_all()
        finally:
            self._close()

    def _next(self) -> int | None:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted > 0 or self._stopping)
            return None if self._stopping else self._wanted

    def _look(self, count: int) -> None:
        asked_at = time.monotonic()
        try:
            grants, self.trouble = self._claim(count, WAIT_S), None
        except Unreachable as error:
            self.trouble = error.message
            log.warning("lease_store_unavailable", reason=error.message)
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, AGAIN_S)
            return
        with self._changed:
            if grants:
                self._wanted = 0  # until the main thread has taken these and says what it can run then
                self._found.append(ClaimedGrants(asked_at, grants))
                self._changed.notify_all()
