"""Hands out requests to polling workers, and takes their reports and completions."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from connectors.lease_store import Grant, LeaseView
from connectors.views import JobView
from gateway.lab_results import HandIn
from gateway.mri_polling.bodies import End, RequestId, request_entry, unknown_request
from gateway.mri_polling.callers import Caller
from gateway.mri_polling.recent_offers import RecentOffers
from gateway.mri_polling.records import Records
from gateway.ports import Ports
from gateway.problems import Problem
from processors.mri_lab.contract import MRI_LAB
from schemas.errors import SluiceError, StartupError, UndecodableRecord
from schemas.states import TERMINAL, Custody, State
from streams import logs
from streams.settings import Settings

log = logs.get("gateway")

#: How long a client that did not take its offer up is given nothing, in lengths of an offer: two polls of the old workers.
PAUSE_OFFERS = 6
#: Seconds that a repeated completion waits for the sink to read the first.
SETTLE_S = 5.0


def check(settings: Settings) -> None:
    """Raise StartupError if the polling contract is on and can't be served."""
    if settings.gateway_mri == "off":
        return
    if settings.gateway_mri == "networks" and not settings.gateway_mri_networks:
        raise StartupError(
            "SLUICE_GATEWAY_MRI=networks names no networks.",
            next_step="Set SLUICE_GATEWAY_MRI_NETWORKS, e.g. 10.20.0.0/16, or use SLUICE_GATEWAY_MRI=basic.",
        )
    if MRI_LAB.name not in settings.served_processors:
        raise StartupError(
            f"SLUICE_GATEWAY_MRI is on, and this installation does not serve {MRI_LAB.name!r}.",
            next_step=f"Name it in SLUICE_PROCESSORS: {','.join([*settings.served_processors, MRI_LAB.name])}.",
        )
    assert settings.custody(MRI_LAB) is Custody.LEASE


class MriPolling:
    """Used by the event loop of one gateway. Raises Problem and Unreachable.

    Everything is in the lease, so any gateway takes any report; only the pause of clients that just look is each one's own.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._settings = ports.settings
        self._leases = ports.lab.leases
        self._records = Records(ports.settings, ports.codec)
        self._recent = RecentOffers(PAUSE_OFFERS * self._settings.gateway_mri_offer_s, time.monotonic)

    async def pending(self, caller: Caller) -> list[dict[str, Any]]:
        """Offer the caller at most one request, for some seconds. `report` turns the offer into a long lease."""
        if self._ports.stopping.is_set() or not await self._may_have_one(caller):
            return []
        settings = self._settings
        grants = await self._leases.call(
            lambda store: store.claim(
                MRI_LAB.name, caller.owner, 1, settings.gateway_mri_offer_s, tenant=caller.tenant, offered=True
            )
        )
        for grant in grants:
            self._recent.offered(_client(caller), grant.hold)
        return [entry for grant in grants if (entry := await self._entry(caller, grant)) is not None]

    async def report(self, caller: Caller, request: RequestId) -> None:
        """Keep a request for the worker that works on it, without a word from it until its completion."""
        hold, lease_s = request.hold, self._settings.gateway_mri_lease_s
        answer = await self._leases.call(lambda store: store.heartbeat(caller.owner, [hold], lease_s))
        if hold.key not in answer.renewed and not await self._resumed(caller, request):
            raise await self._refusal(caller, request)
        self._recent.forget(_client(caller))
        if hold.key in answer.cancelled:
            await self._leases.call(lambda store: store.release(hold.job_id, hold.run, hold.fence, started=True))
            raise Problem(409, "CANCELLED", "The request was cancelled.", next_step="Poll for the next one.")
        await self._note_progress(caller, request)

    async def complete(self, caller: Caller, request: RequestId, end: End) -> str:
        """Publish an end as a candidate result, confirmed by Kafka; return the request's state. Repeating it is harmless."""
        lease = await self._find(request)
        if lease is None or lease.fence != request.fence:
            return await self._after_end(caller, request)
        if lease.state == "waiting" and end.output is not None and await self._resumed(caller, request):
            lease = replace(lease, state="held", worker=caller.owner)
        if lease.worker != caller.owner or lease.state not in ("offered", "held", "settled"):
            raise await self._refusal(caller, request)
        if lease.state == "settled":
            tenant = (await self._job(caller, request)).tenant
            found = await self._ports.reader.ended(request.job_id, tenant, request.run, SETTLE_S)
            return await self._after_end(caller, request) if State(found.state) in TERMINAL else found.state
        if lease.state == "offered":
            await self.report(caller, request)
        worker_id = worker_id_of(caller, request)
        value = await asyncio.to_thread(self._records.result, lease, request, worker_id, end)
        hold = request.hold._replace(execution=lease.execution, crashes=lease.crashes)
        if not await self._ports.lab.hand_in(HandIn(hold, caller.owner, worker_id, value, "", "")):
            return await self._after_end(caller, request)
        return State.COMPLETED if end.output is not None else State.FAILED

    # ── offers ──

    async def _may_have_one(self, caller: Caller) -> bool:
        """Return False for a client that was offered a request lately and did not take it up."""
        client = _client(caller)
        offer = self._recent.last_offer(client)
        if offer is None:
            return True
        lease = await self._leases.call(lambda store: store.find(offer.job_id, offer.run))
        if lease is not None:
            taken_up = lease.fence == offer.fence and lease.state not in ("offered", "waiting")
        else:  # the run has ended: by this client's result?
            view = await self._ports.jobs.call(lambda store: store.job(offer.job_id, offer.run))
            taken_up = view is None or is_of(view.owner, offer.fence)
        if taken_up:
            self._recent.forget(client)
        return taken_up

    async def _entry(self, caller: Caller, grant: Grant) -> dict[str, Any] | None:
        """Return a request as the worker gets it; end one that can't be decoded, which every worker would get in turn."""
        request = RequestId(grant.job_id, grant.run, grant.fence)
        try:
            input_ = await asyncio.to_thread(self._records.input, grant.value)
        except UndecodableRecord as error:
            await self._reject(caller, grant, error)
            return None
        return request_entry(request, input_, grant.accepted_at.isoformat(), self._settings.gateway_mri_names)

    async def _reject(self, caller: Caller, grant: Grant, error: SluiceError) -> None:
        request = RequestId(grant.job_id, grant.run, grant.fence)
        worker_id = worker_id_of(caller, request)
        value = await asyncio.to_thread(self._records.rejected, grant, worker_id, error)
        await self._leases.call(lambda store: store.heartbeat(caller.owner, [grant.hold], 60.0))
        await self._ports.lab.hand_in(
            HandIn(grant.hold, caller.owner, worker_id, value, str(error.code), error.message[:500])
        )

    # ── held requests ──

    async def _note_progress(self, caller: Caller, request: RequestId) -> None:
        """Let the job be PROCESSING. Progress may get lost, and must not fail the report."""
        try:
            lease = await self._find(request)
            if lease is not None:
                worker_id = worker_id_of(caller, request)
                record = await asyncio.to_thread(self._records.progress, lease, request, worker_id, datetime.now(UTC))
                await self._ports.lab.progress(caller.owner, worker_id, [record])
        except SluiceError as error:
            log.warning("progress_not_published", job_id=request.job_id, code=str(error.code))

    async def _find(self, request: RequestId) -> LeaseView | None:
        return await self._leases.call(lambda store: store.find(request.job_id, request.run))

    async def _resumed(self, caller: Caller, request: RequestId) -> bool:
        """Return whether a worker whose lease has expired has it again, because no other one has the request.

        Any worker of the tenant could get the request by a poll, so which of them comes back does not matter.
        """
        await self._job(caller, request)
        hold, lease_s = request.hold, self._settings.gateway_mri_lease_s
        return await self._leases.call(lambda store: store.resume(caller.owner, hold, lease_s))

    async def _job(self, caller: Caller, request: RequestId) -> JobView:
        """Return the job of a request. Raises Problem 404 if there is none, or if it is not the caller's."""
        view = await self._ports.jobs.call(lambda store: store.job(request.job_id, request.run))
        if view is None or view.run != request.run or caller.tenant not in (None, view.tenant):
            raise unknown_request()
        return view

    async def _after_end(self, caller: Caller, request: RequestId) -> str:
        """Return the state of a run that this very request has ended; raise Problem 404 or 409 for any other."""
        view = await self._job(caller, request)
        if State(view.state) in TERMINAL and is_of(view.owner, request.fence):
            return view.state
        raise await self._refusal(caller, request)

    async def _refusal(self, caller: Caller, request: RequestId) -> Problem:
        """Return why a worker may not report on a request."""
        view = await self._job(caller, request)
        if State(view.state) in TERMINAL:
            why = "It has ended" if is_of(view.owner, request.fence) else "It has ended without this worker"
            return Problem(409, "CONFLICT", f"{why}: {view.state}.", next_step="Poll for the next one.")
        return Problem(
            409,
            "LEASE_LOST",
            "This worker does not have the request any more: it took too long, or did not report in time.",
            next_step="Discard its result and poll for the next one; SLUICE_GATEWAY_MRI_LEASE_S is the time for a job.",
        )


def worker_id_of(caller: Caller, request: RequestId) -> str:
    """Return the worker's id in results: machines have no name, so the address that reports stands in it, and the fence."""
    return f"polling~{caller.peer or 'unknown'}~{request.fence}"


def is_of(owner: str | None, fence: int) -> bool:
    """True if the result that ended a run came for the hand-out with this fence."""
    return owner is not None and owner.startswith("polling~") and owner.endswith(f"~{fence}")


def _client(caller: Caller) -> tuple[str, str, str]:
    return caller.owner, caller.peer, caller.agent
