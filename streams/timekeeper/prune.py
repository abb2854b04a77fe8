"""Deletes runs that ended long ago, a bounded number at a time."""

from __future__ import annotations

import time
from datetime import timedelta

from streams import logs
from streams.timekeeper.duty import DutyContext

log = logs.get("timekeeper")

EVERY_S = 60.0
BATCH = 2000


class Prune:
    """`keep`: how long ended runs are kept."""

    def __init__(self, context: DutyContext, keep: timedelta) -> None:
        self._store = context.store
        self._keep = keep
        self._next_at = 0.0

    def run_once(self) -> bool:
        if time.monotonic() < self._next_at:
            return False
        pruned = self._store.prune(self._keep, BATCH)
        if pruned:
            log.info("pruned", runs=pruned)
        if pruned < BATCH:
            self._next_at = time.monotonic() + EVERY_S
        return pruned == BATCH
