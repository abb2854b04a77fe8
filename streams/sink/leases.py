"""What an older execution of a leased job says is not the last word: its lease ran out, and another worker has the job.

A stale failure, retry or cancel is only noted. A stale success stands: the work is done, once is enough, and the arbiter takes
the first (docs/adr/0014). Asked of the store only for a batch that holds such a word.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import chain, repeat

from connectors.store import SinkStore
from schemas.errors import Unreachable
from schemas.states import State
from streams import logs
from streams.log.retry import Stopped
from streams.sink.decode import EventDecoder
from streams.sink.event import Event, Phase
from streams.sink.fold import SUPERSEDED
from streams.sink.writer import PAUSES

log = logs.get("sink")


class LeaseFence:
    """Raises Stopped when told to stop while the store does not answer."""

    def __init__(self, store: SinkStore, reader: EventDecoder, stop: threading.Event) -> None:
        self._store = store
        self._reader = reader
        self._stop = stop

    def look(self, events: Sequence[Event]) -> Sequence[Event]:
        """The same events; those that an older execution has no right to say any more move nothing."""
        claims = {(event.job_id, event.run) for event in events if self._needs_the_lease(event)}
        if not claims:
            return events
        current = self._executions(claims)
        return [_noted(event) if self._is_stale(event, current) else event for event in events]

    def _needs_the_lease(self, event: Event) -> bool:
        # Execution 0 is the engine's own word (a deadline, a cancel), which no lease stands behind.
        return event.execution > 0 and _is_no_success(event) and self._reader.table.leased(event.header)

    def _is_stale(self, event: Event, current: dict[tuple[bytes, int], tuple[int, int]]) -> bool:
        now = current.get((event.job_id, event.run))
        return now is not None and (event.attempt, event.execution) < now and self._needs_the_lease(event)

    def _executions(self, claims: set[tuple[bytes, int]]) -> dict[tuple[bytes, int], tuple[int, int]]:
        for pause in chain(PAUSES, repeat(PAUSES[-1])):
            try:
                return self._store.executions(claims)
            except Unreachable as error:
                log.warning("store_unavailable", reason=str(error), retry_in_s=pause)
                if self._stop.wait(pause):
                    raise Stopped from error
        raise AssertionError("the pauses never end")


def _is_no_success(event: Event) -> bool:
    if event.phase is Phase.RETRYING:
        return True
    return event.phase is Phase.ENDED and event.ending is not None and event.ending.state is not State.COMPLETED


def _noted(event: Event) -> Event:
    return event._replace(phase=Phase.NOTED, kind=SUPERSEDED, ending=None)
