"""Runs audits on a thread, one at a time; the report of a long one is kept in the object store, so that any gateway has it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from connectors.claim_store import ClaimStore
from gateway.problems import Problem
from schemas.errors import SluiceError, UsageError
from schemas.ids import is_job_id, new_id
from streams import logs
from streams.audit.once import NoWatch, audit
from streams.audit.report import Report
from streams.audit.scope import Scope
from streams.health.loop_threads import frames_of
from streams.settings import Settings

log = logs.get("gateway")

#: Requests that one audit over HTTP reads at most.
MOST_REQUESTS = 200_000
#: Seconds after which a request is answered with 202.
WAIT_S = 15.0
#: Folder of reports among the named objects, and how long they stay there.
FOLDER = "audits"
KEPT = timedelta(days=1)
#: Seconds after which an audit that has no report counts as lost with its gateway.
LONGEST_S = 1800.0


class KeptAudit(NamedTuple):
    """`begun`: seconds since 1970. `report`: None while it runs. `error`: why there is none, "" without an error."""

    tenant: str
    begun: float
    report: Report | None
    error: str = ""


class _Bounded(NoWatch):
    def phase(self, name: str, total: int) -> None:
        if name == "requests" and total > MOST_REQUESTS:
            raise UsageError(
                f"This range has {total:,} requests; an audit over HTTP reads {MOST_REQUESTS:,} at most.",
                next_step="Give nearer times, or run `sluice audit`.",
            )


class AuditRuns:
    """Its methods belong to the event loop. Close it before the loop ends: a running audit is ended then."""

    def __init__(self, settings: Settings, objects: ClaimStore) -> None:
        self._settings = settings
        self._objects = objects
        self._thread = ThreadPoolExecutor(1, "gateway-audit")
        self._stop = threading.Event()
        self._running: asyncio.Task[Report] | None = None

    def close(self) -> None:
        self._stop.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def start(self, scope: Scope, tenant: str, examples: int) -> Report | str:
        """Audit; return the report, or the id under which it will be kept if it takes long.

        Raises Problem 503 while another one runs, UsageError for too large a range, SluiceError.
        """
        if self._running is not None and not self._running.done():
            raise Problem(
                503, "BUSY", "This gateway runs another audit.", next_step="Send it again later.", retry_after_s=WAIT_S
            )
        running = self._running = asyncio.create_task(self._audit(scope, examples))
        done, _ = await asyncio.wait([running], timeout=WAIT_S)
        if done:
            return running.result()
        id_, kept = new_id(), KeptAudit(tenant, time.time(), None)
        await asyncio.to_thread(self._store, id_, kept)
        running.add_done_callback(lambda done: self._finish(id_, kept, done))
        return id_

    async def kept(self, id_: str) -> KeptAudit | None:
        """Return the report of a long audit; None if there is no such audit. Raises StoreUnavailable."""
        if not is_job_id(id_):
            return None
        data = await asyncio.to_thread(self._objects.get_named, f"{FOLDER}/{id_}")
        kept = None if data is None else KeptAudit(**json.loads(data))
        if kept is not None and kept.report is None and not kept.error and time.time() - kept.begun > LONGEST_S:
            return kept._replace(error="Its gateway has ended.")
        return kept

    # ── parts of the above ──

    async def _audit(self, scope: Scope, examples: int) -> Report:
        def run() -> Report:
            return audit(self._settings, scope, stop=self._stop, watch=_Bounded(), examples=examples)

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    def _finish(self, id_: str, kept: KeptAudit, done: asyncio.Task[Report]) -> None:
        """Store the report, on the thread that made it, unless the gateway stops."""
        if not self._stop.is_set() and not done.cancelled():
            self._thread.submit(self._store, id_, _ended(kept, done))

    def _store(self, id_: str, kept: KeptAudit) -> None:
        before = datetime.now(UTC) - KEPT
        for name, at in list(self._objects.named(FOLDER)):
            if at < before:
                self._objects.delete_named(name)
        self._objects.put_named(f"{FOLDER}/{id_}", json.dumps(kept._asdict()).encode())


def _ended(kept: KeptAudit, running: asyncio.Task[Report]) -> KeptAudit:
    error = running.exception()
    if error is None:
        return kept._replace(report=running.result())
    if isinstance(error, SluiceError):
        return kept._replace(error=error.message)
    log.error("audit_failed", reason=type(error).__name__, frames=frames_of(error))
    return kept._replace(error="The log of its gateway has the reason.")
