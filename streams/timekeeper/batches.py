"""Ends batches whose jobs have all ended: the end and the delivery of the final callback are stored in one transaction."""

from __future__ import annotations

from streams import logs
from streams.timekeeper.duty import DutyContext

log = logs.get("timekeeper")

#: Batches of one look; their jobs are counted.
BATCH = 20


class EndedBatches:
    def __init__(self, context: DutyContext) -> None:
        self._store = context.store

    def run_once(self) -> bool:
        looked_at, ended = self._store.end_batches(BATCH)
        if ended:
            log.info("batches_ended", count=ended)
        return looked_at == BATCH
