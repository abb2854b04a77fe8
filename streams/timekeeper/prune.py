"""Runs that were decided long ago are forgotten, a few at a time."""

from __future__ import annotations

import time
from datetime import timedelta

from streams import logs
from streams.timekeeper.duty import DutyContext

log = logs.get("timekeeper")

EVERY_S = 60.0
BATCH = 2000


class Prune:
    """A duty. `keep`: how long decided runs are remembered."""

    def __init__(self, desk: DutyContext, keep: timedelta) -> None:
        self._store = desk.store
        self._keep = keep
        self._at = 0.0

    def turn(self) -> bool:
        if time.monotonic() < self._at:
            return False
        forgotten = self._store.prune(self._keep, BATCH)
        if forgotten:
            log.info("pruned", runs=forgotten)
        if forgotten < BATCH:
            self._at = time.monotonic() + EVERY_S
        return forgotten == BATCH
