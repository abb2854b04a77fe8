"""Rejects stale failures of leased jobs: the lease ran out, and another worker has the job now, in a newer execution.

A stale failure, retry or cancel is only recorded in history. A late success still counts; the first final result that is
stored wins (docs/adr/0014). The store is asked only if a batch has a failure, retry or cancel of a leased job.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from connectors.sink_store import SinkStore
from schemas.states import State
from streams import logs
from streams.log.reconnect import until_reachable
from streams.sink.decode import EventDecoder
from streams.sink.event import Event, Phase
from streams.sink.fold import SUPERSEDED
from streams.sink.patience import Patience
from streams.sink.writer import PAUSES

log = logs.get("sink")


class LeaseFence:
    """Raises Unreachable when the step's patience ends, Stopped if the service is stopped while the store is unreachable."""

    def __init__(self, store: SinkStore, decoder: EventDecoder, stop: threading.Event, patience: Patience) -> None:
        self._store = store
        self._decoder = decoder
        self._stop = stop
        self._patience = patience

    def supersede_stale(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the events; stale ones become superseded entries of the history that change nothing."""
        runs = {(event.job_id, event.run) for event in events if self._needs_lease(event)}
        if not runs:
            return events
        current = self._executions(runs)
        return [_noted(event) if self._is_stale(event, current) else event for event in events]

    def _needs_lease(self, event: Event) -> bool:
        # Execution 0 is a result without a worker (a deadline, a cancel; engine_results.py), which needs no lease.
        return event.execution > 0 and _is_failure_or_retry(event) and self._decoder.table.leased(event.header)

    def _is_stale(self, event: Event, current: dict[tuple[bytes, int], tuple[int, int]]) -> bool:
        newest = current.get((event.job_id, event.run))
        return newest is not None and (event.attempt, event.execution) < newest and self._needs_lease(event)

    def _executions(self, runs: set[tuple[bytes, int]]) -> dict[tuple[bytes, int], tuple[int, int]]:
        return until_reachable(
            lambda: self._store.executions(runs),
            self._stop,
            log,
            "store_unavailable",
            pauses=PAUSES,
            limit_s=self._patience.left_s,
        )


def _is_failure_or_retry(event: Event) -> bool:
    if event.phase is Phase.RETRYING:
        return True
    return event.phase is Phase.ENDED and event.terminal is not None and event.terminal.state is not State.COMPLETED


def _noted(event: Event) -> Event:
    return event._replace(phase=Phase.NOTED, kind=SUPERSEDED, terminal=None)
