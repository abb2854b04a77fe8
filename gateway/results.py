"""`/v1/jobs/{job_id}/result` and `/v1/jobs/{job_id}/files/{sha256}`: a job's result and its files."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from connectors.views import JobView
from gateway.file_response import file_response
from gateway.jobs import JobId, Run
from gateway.openapi import json_of, problems
from gateway.ports import P, Ports
from gateway.principal import CanRead
from gateway.problems import Problem
from gateway.result_body import JobResult, files_of, result_of_view
from schemas.errors import InvalidInput, NotFound
from schemas.states import TERMINAL, State

router = APIRouter(prefix="/v1/jobs", tags=["Results"])

Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="The file's sha256, as in the result's `files`.")]
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.get("/{job_id}/result", response_model=JobResult, responses=problems(404, 409))
async def result(ports: P, principal: CanRead, job_id: JobId, run: Run = None) -> Response:
    """Read the result of a job that has ended. Before its end: 409, with the code `NOT_FINISHED`."""
    return json_of(result_of_view(await ended(ports, principal.tenant, job_id, run)))


@router.get(
    "/{job_id}/files/{sha256}",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": _BYTES},
        206: {"description": "The range that was asked for.", "content": _BYTES},
        304: {"description": "The client has the file (`If-None-Match`)."},
        **problems(404, 409, 416),
    },
)
async def read_file(
    ports: P, principal: CanRead, request: Request, job_id: JobId, sha256: Sha256, run: Run = None
) -> Response:
    """Download a file of a job's result. `Range` resumes a download; the ETag is the file's sha256."""
    view = await ended(ports, principal.tenant, job_id, run)
    claim = next((each for each in view.refs if each.sha256 == sha256), None)
    if claim is None:
        raise NotFound("The result has no such file.", next_step="`files` of the result names its files.")
    (file,) = files_of(job_id, view.run, [claim], view.output)
    try:
        return await file_response(request, ports.objects, claim, file.name)
    except InvalidInput as error:  # the client named no uri: the stored one can't be read
        raise NotFound("The file is no longer stored.", next_step="Run the job again.") from error


@router.head("/{job_id}/files/{sha256}", include_in_schema=False)
async def head_file(
    ports: P, principal: CanRead, request: Request, job_id: JobId, sha256: Sha256, run: Run = None
) -> Response:
    return await read_file(ports, principal, request, job_id, sha256, run)


async def ended(ports: Ports, tenant: str, job_id: str, run: int | None) -> JobView:
    """Return a job of the tenant that has ended. Raises NotFound, Problem 409 before its end, Unreachable."""
    view = await ports.jobs.call(lambda store: store.job(job_id, run))
    if view is not None and view.tenant == tenant and State(view.state) in TERMINAL:
        return view
    status = await ports.reader.status(job_id, tenant, run)
    raise not_finished(job_id, status.state)


def not_finished(job_id: str, state: str) -> Problem:
    return Problem(
        409,
        "NOT_FINISHED",
        f"The job has not ended: it is {state}.",
        next_step=f"Ask again later; GET /v1/jobs/{job_id}?wait=60 answers once it has ended.",
        retry_after_s=1,
    )
