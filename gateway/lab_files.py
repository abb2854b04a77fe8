"""`/v1/lab/objects`, `/v1/lab/checkpoint`, `/v1/lab/memo`: the files of one leased job. The worker that holds it reads
the files that its input claims, stores those of its result, keeps its checkpoint, and reuses outputs of the same input."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from connectors.incoming_object import IncomingObject
from connectors.lease_store import LeaseView
from connectors.object_backend import CHUNK
from gateway.file_response import file_response
from gateway.lab import WorkerId
from gateway.lab_memos import LabMemos
from gateway.lab_request import LabRequest
from gateway.lab_uploads import LeaseUploads
from gateway.ports import P, Ports
from gateway.principal import CanWork
from gateway.problems import Problem
from gateway.upload_service import gathered
from schemas.errors import ClaimMismatch, JobError, PayloadTooLarge
from schemas.plain import to_plain
from schemas.records import Claim

router = APIRouter(prefix="/v1/lab", tags=["Lab machines"], include_in_schema=False)

Run = Annotated[int, Query(ge=0, lt=2**31)]

#: Bytes of a checkpoint.
LARGEST_CHECKPOINT = 1 << 20


async def _leased(
    principal: CanWork,
    ports: P,
    worker_id: Annotated[WorkerId, Query()],
    job_id: Annotated[UUID, Query()],
    run: Run,
) -> LeaseView:
    worker = ports.lab.worker(principal, worker_id)
    return await ports.lab.leases.call(partial(worker.held, str(job_id), run))


def _checkpoint(job_id: Annotated[UUID, Query()], run: Run) -> str:
    return f"checkpoints/{job_id}/{run}"


MemoKey = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Leased = Annotated[LeaseView, Depends(_leased)]
Checkpoint = Annotated[str, Depends(_checkpoint)]


@router.get("/objects/{sha256}")
async def download(sha256: str, lease: Leased, ports: P, request: Request) -> Response:
    """Return a file that the job's input claims, or a range of it."""
    claim = await ports.uploads.run(lambda: LabRequest(lease, ports.codec).claim(sha256))
    if claim is None:
        raise Problem(404, "NOT_FOUND", "The job's input claims no such file.")
    return await file_response(request, ports.uploads.objects, claim, sha256)


@router.put("/objects/{sha256}")
async def upload(
    sha256: str,
    lease: Leased,
    job_id: Annotated[UUID, Query()],
    run: Run,
    ports: P,
    request: Request,
) -> dict[str, Any]:
    """Store a file of the job's result; return its claim."""
    uploads = ports.uploads
    most = ports.settings.upload_max_bytes
    incoming = await uploads.run(lambda: uploads.objects.receive(max_bytes=most))
    try:
        async for chunk in gathered(request.stream(), CHUNK):
            await uploads.run(partial(incoming.write, chunk))
        claim = await uploads.run(partial(_kept, incoming, sha256, request.headers.get("content-type", "")))
        await uploads.run(partial(LeaseUploads(uploads.objects, job_id, run).note, claim))
    except BaseException:
        with suppress(JobError):
            await uploads.run(incoming.discard)
        raise
    return to_plain(claim)


@router.get("/checkpoint")
async def checkpoint(lease: Leased, name: Checkpoint, ports: P) -> Response:
    """Return the job's checkpoint."""
    found = await ports.uploads.run(lambda: ports.uploads.objects.get_named(name))
    if found is None:
        raise Problem(404, "NOT_FOUND", "The job has no checkpoint.")
    return Response(found, media_type="application/octet-stream")


@router.put("/checkpoint", status_code=204)
async def put_checkpoint(lease: Leased, name: Checkpoint, ports: P, request: Request) -> None:
    """Replace the job's checkpoint."""
    data = await _small_body(request)
    await ports.uploads.run(lambda: ports.uploads.objects.put_named(name, data))


@router.delete("/checkpoint", status_code=204)
async def delete_checkpoint(lease: Leased, name: Checkpoint, ports: P) -> None:
    """Delete the job's checkpoint."""
    await ports.uploads.run(lambda: ports.uploads.objects.delete_named(name))


@router.get("/memo/{key}")
async def memo(key: MemoKey, lease: Leased, ports: P) -> Response:
    """Return an output that may be reused for the job's input."""
    found = await ports.uploads.run(lambda: _memos(ports, lease).find(key))
    if found is None:
        raise Problem(404, "NOT_FOUND", "There is no output to reuse.")
    return Response(found, media_type="application/octet-stream")


@router.put("/memo/{key}", status_code=204)
async def put_memo(
    key: MemoKey,
    lease: Leased,
    job_id: Annotated[UUID, Query()],
    run: Run,
    ports: P,
    request: Request,
) -> None:
    """Store the job's output to be reused."""
    data = await _small_body(request)

    def keep() -> None:
        memos = _memos(ports, lease)
        LeaseUploads(ports.uploads.objects, job_id, run).check(memos.uploads_in(key, data))
        memos.keep(key, data)

    await ports.uploads.run(keep)


def _memos(ports: Ports, lease: LeaseView) -> LabMemos:
    return LabMemos(ports.settings, ports.codec, ports.uploads.objects, lease)


async def _small_body(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LARGEST_CHECKPOINT:
            raise PayloadTooLarge(f"A checkpoint or an output has at most {LARGEST_CHECKPOINT} bytes.")
    return bytes(data)


def _kept(incoming: IncomingObject, sha256: str, content_type: str) -> Claim:
    incoming.finish()
    if incoming.sha256 != sha256:
        raise ClaimMismatch("The bytes do not have the sha256 that was stated.", next_step="Send the file again.")
    return incoming.keep(content_type or "application/octet-stream")
