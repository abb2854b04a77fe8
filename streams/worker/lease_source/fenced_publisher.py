"""Nothing leaves the worker under a lease that may have run out.

A worker that was asleep (a suspended machine, a stopped process) wakes with a result in its hands and does not know that the
job is another's by now. So before a result is published the lease must surely be ours; else the store is asked first, and a
result of a job that is lost goes nowhere. What slips through between the look and the log, the sink sees by its execution.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from streams import logs
from streams.worker.lease_source.held import HeldLease, HeldLeases
from streams.worker.protocol import Answer
from streams.worker.publisher import Publisher

log = logs.get("worker")


class FencedPublisher(Publisher):
    """The publisher of a worker that holds leases. `doubt`: the store must be asked. Then what Publisher takes."""

    def __init__(self, grips: HeldLeases, doubt: Callable[[], None], *publisher: Any) -> None:
        super().__init__(*publisher)
        self._grips = grips
        self._doubt = doubt
        self._gate = threading.Lock()
        self._waiting: list[tuple[HeldLease, Answer]] = []
        self.discarded = 0

    def publish(self, answer: Answer) -> None:
        grip = self._grips.of_slot(answer.slot)
        if grip is None:
            return
        if answer.value or answer.dead_reason:
            self._decide(grip, answer)
        else:  # nothing is said of it, so nothing has ended: somebody is to look at it again
            self._discard(grip, "it was not run")

    def look_again(self) -> None:
        """The store has answered."""
        with self._gate:
            waiting, self._waiting = self._waiting, []
        for grip, answer in waiting:
            self._decide(grip, answer)

    def _decide(self, grip: HeldLease, answer: Answer) -> None:
        if grip.lost:
            self._discard(grip, "its lease was lost")
        elif time.monotonic() < grip.until:
            super().publish(answer)
        else:
            with self._gate:
                self._waiting.append((grip, answer))
            self._doubt()

    def _discard(self, grip: HeldLease, reason: str) -> None:
        log.warning("result_discarded", job_id=grip.grant.job_id, run=grip.grant.run, reason=reason)
        self._ledger.drop([grip.owned])
        self._grips.let_go(grip)
        self.discarded += 1
