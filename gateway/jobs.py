"""`/v1/jobs`: submit a job, read and list jobs, cancel one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response

from connectors.job_store import JobFilter
from gateway.models import EXAMPLE_ID, Cancel, Job, JobPage, StateName, SubmitJob
from gateway.openapi import json_of, problems
from gateway.paging import cursor_of, place_of
from gateway.ports import P
from gateway.principal import CanCancel, CanRead, CanSubmit
from gateway.reading import LONGEST_WAIT_S
from gateway.submit_route import SubmitRoute
from schemas.states import TERMINAL, State
from streams.client.job_options import LARGEST_NUMBER, LONGEST_ID

router = APIRouter(prefix="/v1/jobs", tags=["Jobs"])

JobId = Annotated[str, Path(description="Id of a job.", examples=[EXAMPLE_ID])]
Run = Annotated[int | None, Query(ge=0, le=LARGEST_NUMBER, description="A run of the job. Default: the current one.")]
Text = Annotated[str | None, Query(max_length=LONGEST_ID, pattern=r"^[^\x00]*$")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        max_length=LONGEST_ID,
        min_length=1,
        description="A text of your own: submitting again with the same key and input makes no second job.",
        examples=["order-7"],
    ),
]


async def submit(ports: P, principal: CanSubmit, body: SubmitJob, idempotency_key: IdempotencyKey = None) -> Response:
    """Submit a job. It is accepted once this returns: it ends in exactly one outcome, whatever fails from then on."""
    status, new, queue = await ports.door.submit(principal.tenant, body, idempotency_key)
    job = Job.of(status, queue)
    return json_of(job, 202 if new else 200, {"Location": job.links.self})


router.add_api_route(
    "",
    submit,
    methods=["POST"],
    status_code=202,
    response_model=Job,
    responses={200: {"model": Job, "description": "The job that was submitted with this key before."}, **problems(409)},
    route_class_override=SubmitRoute,
)


@router.get("", response_model=JobPage)
async def list_jobs(
    ports: P,
    principal: CanRead,
    state: Annotated[StateName | None, Query()] = None,
    processor: Text = None,
    case_id: Text = None,
    batch_id: Text = None,
    external_id: Text = None,
    upload_id: Text = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """List your jobs, newest first. A job appears once the sink has read it, milliseconds after its submit."""
    wanted = JobFilter(principal.tenant, state, processor, case_id, batch_id, external_id, upload_id)
    found = await ports.reader.statuses(wanted, limit + 1, place_of(cursor))
    page, more = found[:limit], len(found) > limit
    following = cursor_of(page[-1].created_at, page[-1].job_id) if more else None
    return json_of(JobPage(items=[Job.of(status) for status in page], next_cursor=following))


@router.get("/{job_id}", response_model=Job, responses=problems(404))
async def read(
    ports: P,
    principal: CanRead,
    job_id: JobId,
    run: Run = None,
    wait: Annotated[float | None, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for its end.")] = None,
) -> Response:
    """Read a job, also right after its submit."""
    if wait:
        return json_of(Job.of(await ports.reader.ended(job_id, principal.tenant, run, wait)))
    return json_of(Job.of(await ports.reader.status(job_id, principal.tenant, run)))


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    response_model=Job,
    responses={200: {"model": Job, "description": "The job had already ended."}, **problems(404)},
)
async def cancel(ports: P, principal: CanCancel, job_id: JobId, body: Cancel | None = None) -> Response:
    """Cancel a job's current run. A waiting job ends at once; a running one is stopped, unless it completes first."""
    status = await ports.reader.status(job_id, principal.tenant)
    if State(status.state) in TERMINAL:
        return json_of(Job.of(status))
    await ports.cancel([(job_id, status.run)], principal, body.reason if body else "")
    return json_of(Job.of(status), 202)
