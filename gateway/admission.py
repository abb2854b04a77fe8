"""Lets a submit in, or not: by the tenant's quota, and by a deadline that can be met. Cheap: everything is counted before."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial

from connectors.access_store import AccessStore, Quota
from connectors.due_store import DueStore
from gateway.backlog import QueueView
from gateway.models import Queue
from gateway.problems import Problem
from gateway.quotas import Quotas
from gateway.store_pool import StorePool
from schemas.commands import PAUSE
from schemas.contract import contract
from schemas.errors import SluiceError
from schemas.states import Custody
from streams import logs
from streams.admin.members import workers_of
from streams.log.port import LogAdmin
from streams.settings import Settings

log = logs.get("gateway")

#: Seconds between two looks at quotas, pauses and workers.
EVERY_S = 5.0
#: The longest wait that Retry-After asks for.
LONGEST_WAIT_S = 3600.0


class Admission:
    """Used by one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.queues = QueueView()
        self.quotas = Quotas(Quota("", settings.gateway_jobs_per_s, settings.gateway_burst, settings.gateway_in_flight))

    def admit(
        self, tenant: str, processor: str, lane: str, jobs: int = 1, deadline: datetime | None = None
    ) -> Queue | None:
        """Let jobs in and count them; return the queue before them. Raises Problem 429 and 503."""
        queue = self.queues.queue(processor, lane)
        if deadline is not None and queue is not None and queue.estimated_end_s is not None:
            left_s = (deadline - datetime.now(UTC)).total_seconds()
            if queue.estimated_end_s > left_s:
                raise _too_late(queue.estimated_end_s, left_s)
        self.quotas.take(tenant, jobs, self.queues.in_flight(tenant))
        self.queues.accepted(tenant, processor, lane, jobs)
        return queue

    async def learn(self, access: StorePool[AccessStore], due: StorePool[DueStore], admin: LogAdmin) -> None:
        """Read quotas, pauses and the number of workers again and again."""
        while True:
            try:
                self.quotas.replace(await access.call(lambda store: store.quotas()))
                commands = await due.call(lambda store: store.last_commands())
                workers = await asyncio.to_thread(partial(_workers, admin, self._settings))
                self.queues.learn(workers, {each.processor for each in commands if each.action == PAUSE})
            except SluiceError as error:
                log.warning("quotas_not_read", code=error.code)
            await asyncio.sleep(EVERY_S)


def _workers(admin: LogAdmin, settings: Settings) -> dict[str, int | None]:
    """Return the number of each processor's workers; None where no consumer group knows it."""
    return {name: _count(admin, settings, name) for name in settings.served_processors}


def _count(admin: LogAdmin, settings: Settings, processor: str) -> int | None:
    try:
        if settings.custody(contract(processor)) is Custody.LEASE:
            return None
        return len(workers_of(admin, settings, processor))
    except SluiceError:
        return None


def _too_late(end_s: float, left_s: float) -> Problem:
    return Problem(
        503,
        "DEADLINE_CANNOT_BE_MET",
        f"The job would end in about {end_s:.0f} s, after its deadline.",
        next_step="Try again after Retry-After, or give a later deadline.",
        retry_after_s=min(end_s - left_s, LONGEST_WAIT_S),
    )
