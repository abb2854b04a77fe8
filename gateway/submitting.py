"""Submits jobs: encodes a request, and answers once it is accepted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from connectors.batch_store import BatchRow, BatchStore, BatchView
from connectors.callbacks.guard import check_url
from connectors.callbacks.profile import unknown_profile
from connectors.callbacks.profile_file import callback_profiles
from connectors.payload_store import Acceptance
from connectors.views import JobStatus
from gateway.admission import Admission
from gateway.models import Queue, SubmitBatch, SubmitJob, pending
from gateway.problems import Problem
from gateway.reading import JobReader
from gateway.store_pool import StorePool
from schemas.addresses import AllowRules
from schemas.contract import unknown_processor
from schemas.errors import Conflict, NotFound, SluiceError, Unreachable
from schemas.ids import derived_id, new_id
from schemas.records import Claim, JobHeader
from schemas.states import Lane
from streams.client.acceptor import Acceptor, payload_of
from streams.client.requests import EncodedRequest, RequestEncoders
from streams.settings import Settings

#: Checks that the claims of an input are the tenant's own. Raises InvalidInput.
ClaimCheck = Callable[[str, Sequence[Claim]], Awaitable[None]]

OTHER_INPUT = "Another {thing} was submitted with this Idempotency-Key."
NEW_KEY = "Use a new key for another input, or none."


class JobDoor:
    """Accepts jobs and batches. The tenant is that of the caller's token, never one that a body names.

    `check_claims` is set by the uploads' part; without it, claims are not checked.
    """

    def __init__(
        self,
        settings: Settings,
        encoders: RequestEncoders,
        acceptor: Acceptor,
        reader: JobReader,
        batches: StorePool[BatchStore],
        admission: Admission,
    ) -> None:
        self._settings = settings
        self._admission = admission
        self._encoders = encoders
        self._acceptor = acceptor
        self._reader = reader
        self._batches = batches
        rules = AllowRules.parse(",".join(settings.callbacks_allowed))
        # A backend gives the same URL with every job: reading its parts again costs a tenth of a submit.
        self._check_url = lru_cache(4096)(partial(check_url, backend_url=settings.backend, rules=rules))
        self._profiles = callback_profiles(settings.callback_shapes)
        self.check_claims: ClaimCheck | None = None

    async def submit(
        self, tenant: str, job: SubmitJob, key: str | None, job_id: str | None = None
    ) -> tuple[JobStatus, bool, Queue | None]:
        """Accept a job; return it, False if it was accepted before with this key, and the queue before it.

        `job_id`: derived by the caller, for a key that several processors share.

        Raises UnknownProcessor, InvalidInput, PayloadTooLarge, UsageError, Conflict, Unreachable, and Problem for a used up
        quota or a deadline that can't be met.
        """
        options = {**job.options("processor", "input"), "tenant": tenant, "idempotency_key": key}
        self._check_served(job.processor)
        if job.callback_url is not None:
            self._check_url(job.callback_url)
        self._check_profile(job.callback_profile)
        request = await self._encoded(job.processor, job.input, options, job_id)
        await self._check_claims(tenant, [request])
        queue = await self._admitted(request, key is not None)
        acceptance = await self._accepted(request)
        if acceptance.accepted:
            return pending(request.header), True, queue
        if acceptance.input_sha256 and acceptance.input_sha256 != request.header.input_sha256:
            raise Conflict(OTHER_INPUT.format(thing="input"), next_step=NEW_KEY)
        return await self._reader.status(request.header.job_id, tenant), False, None

    async def _admitted(self, request: EncodedRequest, has_key: bool) -> Queue | None:
        """Return the queue before a job that is let in; None for a repeated submit, which is always let in."""
        header = request.header
        try:
            return self._admission.admit(header.tenant, header.processor, header.lane, 1, header.deadline)
        except Problem:
            if has_key and await self._is_known(header):
                return None
            raise

    async def _is_known(self, header: JobHeader) -> bool:
        try:
            await self._reader.status(header.job_id, header.tenant)
        except NotFound:
            return False
        return True

    async def submit_batch(self, tenant: str, batch: SubmitBatch, key: str | None) -> tuple[BatchView, list[str], bool]:
        """Accept a batch with all its jobs, or nothing; return it, its jobs' ids, and False if it was accepted before.

        Raises as `submit`.
        """
        for url in (batch.callback_url, batch.job_callback_url):
            if url is not None:
                self._check_url(url)
        self._check_profile(batch.callback_profile)
        self._check_served(batch.processor)
        batch_id = new_id() if key is None else derived_id(tenant, batch.processor, key, "batch")
        options = batch.options("processor", "inputs", "callback_url", "job_callback_url", "callback_profile")
        options |= {"tenant": tenant, "batch_id": batch_id, "callback_url": batch.job_callback_url}
        options |= {"callback_profile": batch.callback_profile}
        options.setdefault("lane", Lane.BULK)
        requests = await asyncio.to_thread(self._encode_all, batch.processor, batch.inputs, options)
        await self._check_claims(tenant, requests)
        row = BatchRow(
            batch_id,
            tenant,
            batch.processor,
            len(requests),
            _hash_of_all(requests),
            batch.callback_url,
            batch.callback_profile,
        )
        found = await self._batches.call(lambda store: store.batch(batch_id, tenant)) if key is not None else None
        if found is None:
            self._admission.admit(tenant, batch.processor, options["lane"], len(requests), batch.deadline)
        accepted = await self._batches.call(lambda store: self._accept_batch(store, row, requests))
        found = await self._batches.call(lambda store: store.batch(batch_id, tenant))
        if found is None:
            raise Unreachable("The batch was deleted at that moment.", next_step="Submit it again.")
        if not accepted and found.inputs_sha256 != row.inputs_sha256:
            raise Conflict(OTHER_INPUT.format(thing="batch"), next_step=NEW_KEY)
        return found, [request.header.job_id for request in requests], accepted

    def _accept_batch(self, store: BatchStore, row: BatchRow, requests: Sequence[EncodedRequest]) -> bool:
        accepted = store.accept(row, [payload_of(request) for request in requests])
        if accepted:
            self._acceptor.publish(requests)
        return accepted

    def _encode_all(
        self, processor: str, inputs: Sequence[Mapping[str, Any]], options: dict[str, Any]
    ) -> list[EncodedRequest]:
        """Encode every input. Each job's id is derived from the batch and its place, so a repeated submit has the same ids."""
        requests = []
        for n, input_ in enumerate(inputs):
            numbered = {**options, "idempotency_key": f"{options['batch_id']}/{n}"}
            try:
                requests.append(self._encoders.encode(processor, input_, numbered, "batch-job"))
            except SluiceError as error:
                error.message = f"inputs[{n}]: {error.message}"
                raise
        return requests

    async def _encoded(
        self, processor: str, input_: Mapping[str, Any], options: dict[str, Any], job_id: str | None
    ) -> EncodedRequest:
        encode = partial(self._encoders.encode, processor, input_, options, job_id=job_id)
        if self._encoders.is_made(processor, options.get("lane") or Lane.LIVE):
            return encode()
        return await asyncio.to_thread(encode)

    async def _accepted(self, request: EncodedRequest) -> Acceptance:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Acceptance | SluiceError] = loop.create_future()

        def done(found: Acceptance | SluiceError) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, answer, found)

        self._acceptor.accept(request, done, new=request.header.idempotency_key is None)
        found = await answer
        if isinstance(found, SluiceError):
            raise found
        return found

    async def _check_claims(self, tenant: str, requests: Sequence[EncodedRequest]) -> None:
        claims = [claim for request in requests for claim in request.claims]
        if claims and self.check_claims is not None:
            await self.check_claims(tenant, claims)

    def _check_served(self, processor: str) -> None:
        """Refuse a processor that is not installed, or that SLUICE_PROCESSORS leaves out: no worker would run the job."""
        if processor not in (served := self._settings.served_processors):
            raise unknown_processor(processor, served)

    def _check_profile(self, name: str | None) -> None:
        """Refuse a callback profile that the file of shapes does not have, if this gateway knows the file."""
        if name is not None and self._profiles.profiles and name not in self._profiles.profiles:
            raise unknown_profile(name, self._profiles.profiles)


def _resolve(future: asyncio.Future[Acceptance | SluiceError], found: Acceptance | SluiceError) -> None:
    if not future.done():  # the client may have left
        future.set_result(found)


def _hash_of_all(requests: Sequence[EncodedRequest]) -> str:
    return hashlib.sha256("".join(request.header.input_sha256 for request in requests).encode()).hexdigest()
