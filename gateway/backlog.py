"""The queue as submits see it: a job's position, and an estimate where it can be known.

Counted in the background, at most once a second, never per request. Of a number that nothing supports, null is returned.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from connectors.job_store import JobStore
from connectors.views import Backlog, EndedJobs
from gateway.models import Queue
from gateway.store_pool import StorePool
from schemas.errors import SluiceError
from schemas.states import Lane, State
from streams import logs
from streams.explain.pace import WINDOW_S, Pace, rate_of

log = logs.get("gateway")

#: Seconds between two counts; more if a count takes long, so that counting costs a twentieth of a connection at most.
EVERY_S = 1.0
SHARE = 20.0


@dataclass(slots=True)
class _Processor:
    """Facts about a processor. `busy`: spans in which jobs waited throughout, with the jobs that ended in each."""

    waiting: Counter[str] = field(default_factory=Counter)
    running: int = 0
    workers: int | None = None
    paused: bool = False
    busy: deque[tuple[float, float, int]] = field(default_factory=deque)
    timed: deque[tuple[float, int, float]] = field(default_factory=deque)

    def ended(self, jobs: EndedJobs, now: float, span_s: float, waited: bool) -> None:
        if waited:
            self.busy.append((now, span_s, jobs.jobs))
        if jobs.timed:
            self.timed.append((now, jobs.timed, jobs.run_s))
        for spans in (self.busy, self.timed):
            while spans and spans[0][0] < now - WINDOW_S:
                spans.popleft()

    @property
    def run_s(self) -> float | None:
        """Return the mean run time of a job; None if it is not known."""
        count = sum(timed for _, timed, _ in self.timed)
        return sum(total for _, _, total in self.timed) / count if count else None

    def queue(self, ahead: int) -> Queue:
        run_s = self.run_s
        ended, span_s = sum(jobs for _, _, jobs in self.busy), sum(span for _, span, _ in self.busy)
        pace = Pace(self.running, self.workers, self.paused, rate_of(ended, span_s, self.running, run_s), run_s)
        start, end = pace.start_s(ahead), pace.end_s(ahead)
        return Queue(
            position=ahead,
            estimated_start_s=None if start is None else round(start, 3),
            estimated_end_s=None if end is None else round(end, 3),
        )


class QueueView:
    """Used by one event loop."""

    def __init__(self) -> None:
        self._processors: dict[str, _Processor] = {}
        self._in_flight: Counter[str] = Counter()
        self._open: dict[tuple[str, str], Counter[str]] = {}
        self._counted: tuple[datetime, float] | None = None
        #: Accepted by this gateway since the last count: by tenant, and by processor and lane.
        self._new_by_tenant: Counter[str] = Counter()
        self._new: Counter[tuple[str, str]] = Counter()

    def accepted(self, tenant: str, processor: str, lane: str, jobs: int = 1) -> None:
        self._new_by_tenant[tenant] += jobs
        self._new[processor, lane] += jobs

    def in_flight(self, tenant: str) -> int:
        return self._in_flight[tenant] + self._new_by_tenant[tenant]

    def queue(self, processor: str, lane: str) -> Queue | None:
        """Return the queue before a job that is submitted now; None before the first count."""
        if self._counted is None:
            return None
        found = self._processors.get(processor) or _Processor()
        lanes = (Lane.LIVE,) if lane == Lane.LIVE else (Lane.LIVE, Lane.BULK)
        return found.queue(sum(found.waiting[each] + self._new[processor, each] for each in lanes))

    def open(self, tenant: str, processor: str) -> dict[str, int]:
        """Return a tenant's jobs of a processor that have not ended, by state, at the last count."""
        return dict(self._open.get((tenant, processor), {}))

    def paused(self, processor: str) -> bool:
        found = self._processors.get(processor)
        return found is not None and found.paused

    def workers(self, processor: str) -> int | None:
        found = self._processors.get(processor)
        return None if found is None else found.workers

    def learn(self, workers: dict[str, int | None], paused: set[str]) -> None:
        """Take over the number of each processor's workers (None: not known), and which processors are paused."""
        for name, count in workers.items():
            known = self._processors.setdefault(name, _Processor())
            known.workers, known.paused = count, name in paused

    def update(self, backlog: Backlog, now: float) -> None:
        """Take over a count that was begun at `now`, on a monotonic clock."""
        span_s = 0.0 if self._counted is None else now - self._counted[1]
        ended = {each.processor: each for each in backlog.ended}
        waiting: dict[str, Counter[str]] = {}
        running: Counter[str] = Counter()
        self._in_flight.clear()
        self._open.clear()
        for each in backlog.open:
            self._in_flight[each.tenant] += each.jobs
            state = State.PENDING if each.state == "DELAYED" else each.state
            self._open.setdefault((each.tenant, each.processor), Counter())[state] += each.jobs
            if each.state == State.PENDING:
                waiting.setdefault(each.processor, Counter())[each.lane] += each.jobs
            elif each.state == State.PROCESSING:
                running[each.processor] += each.jobs
        for name in self._processors.keys() | waiting.keys() | running.keys() | ended.keys():
            known, lanes = self._processors.setdefault(name, _Processor()), waiting.get(name, Counter())
            waited = known.waiting.total() > 0 and lanes.total() > 0
            known.ended(ended.get(name, EndedJobs(name, 0, 0, 0.0)), now, span_s, waited)
            known.waiting, known.running = lanes, running[name]
        self._counted = backlog.at, now

    async def count(self, jobs: StorePool[JobStore]) -> None:
        """Count again and again."""
        while True:
            begun = time.monotonic()
            before_tenants, before = self._new_by_tenant.copy(), self._new.copy()
            since = None if self._counted is None else self._counted[0]
            try:
                self.update(await jobs.call(partial(_backlog, since)), begun)
                self._new_by_tenant -= before_tenants
                self._new -= before
            except SluiceError as error:
                log.warning("jobs_not_counted", code=error.code)
            await asyncio.sleep(max(EVERY_S, SHARE * (time.monotonic() - begun)))


def _backlog(since: datetime | None, store: JobStore) -> Backlog:
    return store.backlog(since)
