"""Reads jobs for the routes: those that the sink has stored, and those that were accepted a moment ago."""

from __future__ import annotations

import asyncio
from datetime import datetime

from connectors.job_store import JobFilter, JobStore
from connectors.payload_store import PayloadStore
from connectors.views import JobStatus
from gateway.models import pending
from gateway.store_pool import StorePool
from schemas.codec import Codec
from schemas.envelope import header_of
from schemas.errors import NotFound, SluiceError
from schemas.states import TERMINAL, State
from streams import logs

log = logs.get("gateway")

#: Seconds between two looks at the jobs whose end is awaited.
TURN_S = 0.05
#: The longest wait for a job's end, in seconds.
LONGEST_WAIT_S = 60.0


class JobReader:
    """A tenant sees its own jobs only; any other job is unknown to it."""

    def __init__(
        self, jobs: StorePool[JobStore], payloads: StorePool[PayloadStore], codec: Codec, stopping: asyncio.Event
    ) -> None:
        self._jobs = jobs
        self._payloads = payloads
        self._codec = codec
        self._stopping = stopping
        self._awaited: dict[str, list[tuple[int, asyncio.Future[JobStatus]]]] = {}
        self._wanted = asyncio.Event()

    async def status(self, job_id: str, tenant: str, run: int | None = None) -> JobStatus:
        """Return a job, also right after it was accepted. Raises NotFound, Unreachable."""
        found = await self._jobs.call(lambda store: store.status(job_id, run, tenant))
        if found is None and not run:
            found = await self._payloads.call(lambda store: self._accepted(store, job_id, tenant))
            # The sink may have read it, and an ended run's payload may be deleted, between the two reads.
            found = found or await self._jobs.call(lambda store: store.status(job_id, run, tenant))
        if found is None:
            raise NotFound("There is no such job.", next_step="Check its id; `GET /v1/jobs` lists your jobs.")
        return found

    async def statuses(
        self, wanted: JobFilter, limit: int, after: tuple[datetime, str] | None = None
    ) -> list[JobStatus]:
        return await self._jobs.call(lambda store: store.statuses(wanted, limit=limit, after=after))

    async def ended(self, job_id: str, tenant: str, run: int | None, wait_s: float) -> JobStatus:
        """Return a job's run (None: the current one) once it has ended, or as it is after `wait_s` or at a stop.

        Raises NotFound, Unreachable.
        """
        found = await self.status(job_id, tenant, run)
        if State(found.state) in TERMINAL:
            return found
        future: asyncio.Future[JobStatus] = asyncio.get_running_loop().create_future()
        waiting = self._awaited.setdefault(job_id, [])
        waiting.append((found.run, future))
        self._wanted.set()
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((future, stop), timeout=min(wait_s, LONGEST_WAIT_S), return_when=asyncio.FIRST_COMPLETED)
            ended = future.result() if future.done() else None
            return ended if ended is not None and run in (None, ended.run) else await self.status(job_id, tenant, run)
        finally:
            stop.cancel()
            waiting.remove((found.run, future))
            if not waiting:
                self._awaited.pop(job_id, None)

    async def watch(self) -> None:
        """Look for the ends that are awaited: one query for all of them, and none while nothing is awaited."""
        while True:
            await self._wanted.wait()
            if not self._awaited:
                self._wanted.clear()
                continue
            await asyncio.sleep(TURN_S)
            for status in await self._statuses_of(list(self._awaited)):
                for run, future in self._awaited.get(status.job_id, ()):
                    # A later run: the awaited one has ended. For the current run, its end is awaited then.
                    if not future.done() and (State(status.state) in TERMINAL or status.run > run):
                        future.set_result(status)

    async def _statuses_of(self, job_ids: list[str]) -> list[JobStatus]:
        """Return these jobs; none while the store does not answer."""
        try:
            return await self._jobs.call(lambda store: store.statuses_of(job_ids))
        except SluiceError as error:
            log.warning("jobs_not_read", code=error.code)
            return []

    def _accepted(self, store: PayloadStore, job_id: str, tenant: str) -> JobStatus | None:
        payload = store.payload(job_id)
        if payload is None or payload.tenant not in (None, tenant):
            return None
        header = header_of(self._codec.decode(payload.value))
        return pending(header) if header.tenant == tenant else None
