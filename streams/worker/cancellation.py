"""Cancels jobs of one engine: those that come, and those in flight.

Cancels are matched by Kafka headers, in batches: the jobs in flight are searched once for all cancels since the last search.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from streams import logs
from streams.worker.command_state import CommandState
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob, JobState
from streams.worker.ordering import OrderedJobs
from streams.worker.supervision.supervisor import Supervisor

log = logs.get("worker")

#: A search of all jobs in flight costs milliseconds; cancels by the thousand share one.
SEARCH_EVERY_S = 0.02


class Cancellations:
    """Used by the engine's thread. `ordered` is None for a processor without order."""

    def __init__(
        self,
        processor: str,
        state: CommandState,
        in_flight: InFlightJobs,
        supervisor: Supervisor,
        ordered: OrderedJobs | None,
    ) -> None:
        self._processor = processor
        self._state = state
        self._pending = state.subscribe()
        self._next_search = 0.0
        self._in_flight = in_flight
        self._supervisor = supervisor
        self._ordered = ordered

    def reject_cancelled(self, jobs: Iterable[InFlightJob]) -> list[int]:
        """Reject the jobs that are cancelled already; return their slots."""
        cancelled = [job for job in jobs if self._state.is_cancelled(job.command_key())]
        for job in cancelled:
            job.mark_cancelled()
        return [job.slot for job in cancelled]

    def apply(self) -> None:
        """Cancel jobs in flight for which a cancel has come since the last call."""
        if not self._pending or (now := time.monotonic()) < self._next_search:
            return
        self._next_search = now + SEARCH_EVERY_S
        wanted = {self._pending.popleft() for _ in range(len(self._pending))}
        aside = [job for job in self._in_flight.set_aside() if job.command_key() in wanted]
        slots = [job.slot for job in self._in_flight.with_child() if job.command_key() in wanted]
        waiting = [job for job in aside if job.state is JobState.WAITING]
        if self._ordered is not None:
            for job in waiting:
                self._ordered.withdraw(job)
        for job in aside:  # a held job is answered when the quarantine lets it go
            job.mark_cancelled()
        if waiting:
            self._supervisor.send(waiting)
            slots += [job.slot for job in waiting]  # so that they are answered while the device works
        self._supervisor.cancel(slots)
        if slots or aside:
            log.info("cancelled", processor=self._processor, asked=len(slots), held=len(aside))
