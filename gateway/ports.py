"""Everything the routes use, made once per gateway: settings, stores on threads, and tasks that run beside the requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request

from connectors.access_store import AccessStore
from connectors.batch_store import BatchStore
from connectors.claim_store import ClaimStore
from connectors.dead_letter_store import DeadLetterStore
from connectors.delivery_admin import DeliveryAdmin
from connectors.due_store import DueStore
from connectors.job_store import JobStore
from connectors.payload_store import PayloadStore
from connectors.replay_store import ReplayStore
from connectors.shadow_store import ShadowStore
from gateway.access import TokenAuthenticator
from gateway.admission import Admission
from gateway.audit_runs import AuditRuns
from gateway.event_hub import EventHub
from gateway.lab_service import LabService
from gateway.principal import Authenticator, Principal
from gateway.reading import JobReader
from gateway.store_pool import StorePool
from gateway.submitting import JobDoor
from gateway.upload_service import UploadService
from schemas.codec import Codec
from streams import logs, wiring
from streams.client.acceptor import Acceptor
from streams.client.commands import CommandClient
from streams.client.requests import RequestEncoders
from streams.health.loop_threads import LoopThreads
from streams.log import kafka
from streams.settings import Settings

log = logs.get("gateway")

#: Threads that read jobs, each with a connection of its own.
READERS = 4
#: Explanations that are collected at a time: each asks Kafka and the services of this machine on a thread.
EXPLANATIONS = 4
#: Seconds that the last accepted requests may take to be committed and published while the ports are closed.
CLOSE_S = 10.0
#: CloudEvents source of requests that come over HTTP.
SOURCE = "sluice/gateway"


class Ports:
    """`authenticator`: None lets everyone in, as tenant `default` (SLUICE_GATEWAY_AUTH=open). Close it at the end.

    `stopping` is set when the gateway begins to stop: a response that streams, or waits for long, ends then.
    """

    def __init__(self, settings: Settings) -> None:
        self._open = ExitStack()
        self.settings = settings
        self.stopping = asyncio.Event()
        #: Tasks beside the requests, by name. One that ends by itself ends the gateway.
        self.tasks: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {}
        self.loops = LoopThreads("gateway", log)
        self.codec = Codec(self._open.enter_context(wiring.open_registry(settings)))
        self.encoders = RequestEncoders(settings, self.codec, SOURCE)
        self.jobs: StorePool[JobStore] = self._pool(lambda: wiring.job_store(settings), READERS, "jobs")
        self.payloads: StorePool[PayloadStore] = self._pool(lambda: wiring.payload_store(settings), 1, "payloads")
        self.batches: StorePool[BatchStore] = self._pool(lambda: wiring.batch_store(settings), 2, "batches")
        self.access: StorePool[AccessStore] = self._pool(lambda: wiring.access_store(settings), 2, "access")
        self.authenticator: Authenticator | None = (
            None if settings.gateway_auth == "open" else TokenAuthenticator(self.access)
        )
        self.deliveries: StorePool[DeliveryAdmin] = self._pool(lambda: wiring.delivery_admin(settings), 1, "deliveries")
        self.dead_letters: StorePool[DeadLetterStore] = self._pool(
            lambda: wiring.dead_letter_store(settings), 1, "dead-letters"
        )
        self.replays: StorePool[ReplayStore] = self._pool(lambda: wiring.replay_store(settings), 1, "replays")
        # One thread: a report compares files, and may take a minute.
        self.shadow: StorePool[ShadowStore] = self._pool(lambda: wiring.shadow_store(settings), 1, "shadow-reports")
        #: Threads that read topics for operators: few, because each opens clients of Kafka.
        self.log_readers = self._open.enter_context(ThreadPoolExecutor(2, "gateway-log"))
        self._commanding = threading.Lock()
        self._command_client: CommandClient | None = None
        self.acceptor = self._accepting()
        self.objects: ClaimStore = wiring.object_store(settings)
        self.admission = self._admitting()
        self.reader = JobReader(self.jobs, self.payloads, self.codec, self.stopping)
        self.audits = self._open.enter_context(closing(AuditRuns(settings, self.objects)))
        self.explaining = asyncio.Semaphore(EXPLANATIONS)
        #: One at a time: it reads files as fast as it can.
        self.verifying = asyncio.Semaphore(1)
        self.tasks["job watch"] = self.reader.watch
        self.door = JobDoor(settings, self.encoders, self.acceptor, self.reader, self.batches, self.admission)
        self.events = EventHub(settings, self.jobs, self.payloads, self.codec, self.stopping, self.loops)
        self._open.callback(self.events.close)
        self.tasks["events"] = self.events.run
        self.uploads = UploadService(
            settings,
            self._pool(lambda: wiring.upload_store(settings), READERS, "uploads"),
            self._pool(lambda: wiring.upload_store(settings), 1, "upload-events"),
        )
        self._open.callback(self.uploads.close)
        self.tasks["upload events"] = self.uploads.publish_events
        self.door.check_claims = self.uploads.check_owned
        self.lab = self._open.enter_context(closing(LabService(settings, self.codec, self.loops, self.stopping)))
        self.tasks["lab claims"] = self.lab.claims.run

    def _pool(self, open_store: Callable[[], Any], threads: int, name: str) -> StorePool[Any]:
        pool: StorePool[Any] = StorePool(open_store, threads=threads, name=name)
        self._open.callback(pool.close)
        return pool

    def _accepting(self) -> Acceptor:
        """Return an acceptor whose thread runs until the ports are closed."""
        acceptor = Acceptor(lambda: wiring.payload_store(self.settings), kafka.producer(self.settings))
        thread = self.loops.new("acceptor", acceptor.run, acceptor.closed.is_set)
        thread.start()
        self._open.callback(thread.join, CLOSE_S)
        self._open.callback(acceptor.close)
        return acceptor

    def _admitting(self) -> Admission:
        """Return an admission whose counts are kept up to date by tasks."""
        admission, admin = Admission(self.settings), kafka.admin(self.settings)
        counts: StorePool[JobStore] = self._pool(lambda: wiring.job_store(self.settings), 1, "counts")
        due: StorePool[DueStore] = self._pool(lambda: wiring.due_store(self.settings), 1, "pauses")
        self.tasks["job counts"] = partial(admission.queues.count, counts)
        self.tasks["quotas"] = partial(admission.learn, self.access, due, admin)
        return admission

    async def cancel(self, runs: Sequence[tuple[str, int]], principal: Principal, reason: str) -> None:
        """Request the cancel of runs; returns once Kafka has confirmed it. Raises Unreachable."""
        by = f"{principal.name or 'token'} of {principal.tenant}"
        await asyncio.to_thread(lambda: self._commands().cancel_many(runs, reason, by=by))

    def _commands(self) -> CommandClient:
        """Return the client of commands, made at its first use: it asks the registry."""
        with self._commanding:
            if self._command_client is None:
                self._command_client = self._open.enter_context(CommandClient(self.settings, by="gateway"))
            return self._command_client

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the tasks while the block runs."""
        running = [asyncio.create_task(self._watched(name, task)) for name, task in self.tasks.items()]
        running.append(asyncio.create_task(asyncio.to_thread(self.encoders.make_all, self.stopping.is_set)))
        try:
            yield
        finally:
            self.stopping.set()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _watched(self, name: str, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
        error: BaseException | None = None
        try:
            await task()
        except asyncio.CancelledError:
            raise
        except Exception as caught:  # noqa: BLE001 - noted, and raised when the gateway ends
            error = caught
        if error is not None or not self.stopping.is_set():
            self.loops.died(name, error)

    def close(self) -> None:
        self._open.close()


async def _of(request: Request) -> Ports:  # a plain function would be called on a thread
    ports: Ports = request.app.state.ports
    return ports


#: The parameter of a route that uses the ports.
P = Annotated[Ports, Depends(_of)]
