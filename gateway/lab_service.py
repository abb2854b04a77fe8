"""Serves the routes of lab machines: leases, the queue of claims, results, files. Made at the first request of a machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

from connectors.access_store import EVERY_TENANT
from connectors.gateway_client.wire import PROTOCOL
from connectors.lease_store import Grant, Hold, LeaseStore, LeaseView
from gateway.lab_claims import Claim, ClaimQueue
from gateway.lab_results import HandIn, LabResults
from gateway.principal import OPEN, Principal
from gateway.problems import Problem
from gateway.store_pool import StorePool
from schemas.codec import Codec
from schemas.contract import AnyContract, contract, unknown_processor
from schemas.errors import UnknownSchema, Unreachable, UsageError
from schemas.states import Custody, Lane
from streams import logs, wiring
from streams.health.loop_threads import LoopThreads
from streams.log import kafka
from streams.log.topic_ids import topic_ids
from streams.settings import Settings

log = logs.get("gateway")

#: Threads for claims and heartbeats, and others for results, which wait for Kafka: that must delay no heartbeat.
THREADS = 4
#: Seconds of one wait for a notice. A gateway that stops waits for the last one.
NOTICE_S = 1.0


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that a token lets in. `owner`: its name in leases, with the token's: no other token can act for it.
    `tenant`: whose jobs it may have; None for all."""

    owner: str
    tenant: str | None

    def release(self, hold: Hold, started: bool, store: LeaseStore) -> bool:
        """Release a lease if it is this worker's."""
        lease = store.find(hold.job_id, hold.run)
        if lease is None or lease.worker != self.owner:
            return False
        return store.release(hold.job_id, hold.run, hold.fence, started=started)

    def held(self, job_id: str, run: int, store: LeaseStore) -> LeaseView:
        """Return a lease that this worker holds. Raises Problem 404, which does not say whether there is such a job."""
        lease = store.find(job_id, run)
        if lease is None or lease.worker != self.owner or lease.state != "held":
            raise Problem(404, "NOT_FOUND", "This worker holds no such job.")
        return lease


class LabService:
    """Close it at the end."""

    def __init__(self, settings: Settings, codec: Codec, loops: LoopThreads, stopping: asyncio.Event) -> None:
        self._settings = settings
        self._codec = codec
        self._loops = loops
        self._open = ExitStack()
        self._closed = threading.Event()
        self._listening: threading.Thread | None = None
        self._lock = threading.Lock()
        self._results: LabResults | None = None
        self.leases = self._pool("lab")
        self._result_leases = self._pool("lab-results")
        self.claims = ClaimQueue(self.leases, stopping)

    def _pool(self, name: str) -> StorePool[LeaseStore]:
        pool: StorePool[LeaseStore] = StorePool(lambda: wiring.lease_store(self._settings), threads=THREADS, name=name)
        self._open.callback(pool.close)
        return pool

    def close(self) -> None:
        self._closed.set()
        if self._listening is not None:
            self._listening.join()
        self._open.close()

    # ── who asks, and for what ──

    def worker(self, principal: Principal, worker_id: str) -> Worker:
        """Return the worker of a request. A gateway that asks for no token gives every tenant's jobs to everyone."""
        every = principal is OPEN or principal.tenant == EVERY_TENANT
        return Worker(f"{principal.tenant}:{principal.name}/{worker_id}", None if every else principal.tenant)

    def about(self) -> dict[str, Any]:
        return {"protocol": PROTOCOL, "version": version("sluice"), "topic_prefix": self._settings.topic_prefix}

    def join(self, processor: str, protocol: int, installed: str) -> dict[str, Any]:
        """Return the request topics with their ids. Raises UsageError for a worker that would not fit; Unreachable."""
        if protocol != PROTOCOL:
            raise UsageError(
                f"The worker speaks version {protocol} of the lab protocol (sluice {installed or '?'}), this gateway "
                f"version {PROTOCOL} (sluice {version('sluice')}).",
                next_step="Install the same version of sluice here and there.",
            )
        made, names = self.check_leased(processor), self._settings.topics
        found = topic_ids(self._settings, [names.requests(made.name, lane) for lane in Lane])
        log.info("lab_worker_joined", processor=processor, version=installed)
        return {**self.about(), "topics": [[name, topic_id] for name, topic_id in found.items()]}

    def check_leased(self, processor: str) -> AnyContract:
        """Return the contract of a processor whose jobs are kept by lease here. Raises UnknownProcessor, UsageError."""
        if processor not in (served := self._settings.served_processors):
            raise unknown_processor(processor, served)
        made = contract(processor)
        if self._settings.custody(made) is Custody.OFFSET:
            raise UsageError(
                f"The jobs of {processor!r} are kept by offset in this installation: only a worker that reaches Kafka "
                "has them.",
                next_step=f"Set SLUICE_LEASED={processor} for all its services (docs/lab_workers.md has the order).",
            )
        return made

    def schema(self, schema_id: int) -> str | None:
        """Return a schema of the registry; None if there is none with this id. Raises Unreachable."""
        with wiring.open_registry(self._settings) as registry, suppress(UnknownSchema):
            return registry.schema_by_id(schema_id)
        return None

    def schema_id(self, subject: str, text: str) -> int | None:
        """Return the id of a schema under a subject; None if it is not registered. Raises Unreachable."""
        with wiring.open_registry(self._settings) as registry:
            return registry.lookup(subject, text)

    # ── leases ──

    async def claim(self, asked: Claim, wait_s: float, gone: Coroutine[Any, Any, None]) -> list[Grant]:
        if self._listening is None:
            loop = asyncio.get_running_loop()
            self._listening = self._loops.new("lab-notices", partial(self._listen, loop), self._closed.is_set)
            self._listening.start()
        return await self.claims.claim(asked, wait_s, gone)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pass notices of claimable jobs to the claims that wait."""
        store = wiring.lease_store(self._settings)
        try:
            while not self._closed.is_set():
                try:
                    processors = store.wait(NOTICE_S)
                except Unreachable as error:
                    log.warning("lease_store_unavailable", reason=error.message)
                    self._closed.wait(NOTICE_S)
                    continue
                if processors:
                    with suppress(RuntimeError):  # the loop has ended
                        loop.call_soon_threadsafe(self.claims.notice, processors)
        finally:
            store.close()

    # ── results ──

    async def hand_in(self, given: HandIn) -> bool:
        """Hand in a result, like `LabResults.hand_in`."""
        return await self._result_leases.call(lambda store: self._results_now().hand_in(store, given))

    async def progress(self, owner: str, worker_id: str, records: Iterable[bytes]) -> int:
        """Publish progress records; return how many a lease of the worker allowed."""
        values = list(records)

        def publish(store: LeaseStore) -> int:
            results = self._results_now()
            return sum(results.progress(store, owner, worker_id, value) for value in values)

        return await self._result_leases.call(publish)

    def _results_now(self) -> LabResults:
        """Return the results' checks, with their producer, made at first use."""
        with self._lock:
            if self._results is None:
                settings = self._settings
                producer = kafka.producer(settings)
                self._results = LabResults(settings, self._codec, producer, wiring.object_store(settings))
            return self._results
