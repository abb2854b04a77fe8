"""`/api/research`, `/api/task` and `/api/celery/health`: the door of research runs. Off unless SLUICE_GATEWAY_RESEARCH is true.

Errors are problem details: their `detail` is the text that clients of the old backend read, as FastAPI has it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse

from gateway.jobs import IdempotencyKey
from gateway.json_body import checked, read_json
from gateway.models import EXAMPLE_ID
from gateway.openapi import body_schema, json_of, problems
from gateway.ports import P
from gateway.research import tasks
from gateway.research.bodies import (
    AcceptedTask,
    NoWorker,
    ResearchQuery,
    ResearchResult,
    ResearchTask,
    ResearchTopic,
    WorkerHealth,
)
from gateway.url_credentials import CanReadByUrl, CanSubmitByUrl

router = APIRouter(prefix="/api", tags=["Research"])

TaskId = Annotated[str, Path(description="The `task_id` of an answer.", examples=[EXAMPLE_ID])]
#: FastAPI does not know a body that the route reads itself.
_TOPIC = {"requestBody": {"required": True, "content": {"application/json": {"schema": body_schema(ResearchTopic)}}}}
_QUERY = {"requestBody": {"required": True, "content": {"application/json": {"schema": body_schema(ResearchQuery)}}}}
_NO_STORE = {"Cache-Control": "no-store"}


@router.post(
    "/research",
    response_model=ResearchResult,
    responses={204: {"description": "The client has hung up."}, **problems(500, 504)},
    openapi_extra=_TOPIC,
)
async def research(ports: P, principal: CanSubmitByUrl, request: Request) -> Response:
    """Run research and answer with its result, which may take up to an hour. Refused at once while no worker runs.

    A client that hangs up ends nothing: the run goes on, and `GET /v1/jobs` lists it.
    """
    asked = checked(ResearchTopic, await read_json(request))
    if (why := await tasks.why_no_worker(ports)) is not None:
        raise tasks.no_worker(why)
    status = await tasks.submit(ports, principal.tenant, asked.topic, asked.constraints or ())
    result = await tasks.finished(ports, principal.tenant, status, request.is_disconnected)
    return Response(status_code=204) if result is None else json_of(result)


@router.post("/research/async", response_model=AcceptedTask, responses=problems(409), openapi_extra=_QUERY)
async def research_async(
    ports: P, principal: CanSubmitByUrl, request: Request, idempotency_key: IdempotencyKey = None
) -> Response:
    """Accept a run and answer at once. `message` says so if no worker runs.

    With an `Idempotency-Key`, which the old backend did not know, a repetition answers with the task of before.
    """
    asked = checked(ResearchQuery, await read_json(request))
    status = await tasks.submit(ports, principal.tenant, asked.query, key=idempotency_key)
    return json_of(await tasks.accepted(ports, status))


@router.get("/task/{task_id}", response_model=ResearchTask, responses=problems(404))
async def read_task(ports: P, principal: CanReadByUrl, task_id: TaskId) -> Response:
    """Read a task. An unknown id is pending, as in Celery. Keys without a value are absent."""
    found = await tasks.read(ports, principal.tenant, task_id)
    return Response(found.model_dump_json(exclude_none=True), 200, _NO_STORE, "application/json")


@router.get("/celery/health", response_model=WorkerHealth, responses={503: {"model": NoWorker}})
async def health(ports: P) -> Response:
    """Answer 200 while a worker of research runs, else 503, within five seconds. It needs no token."""
    if (why := await tasks.why_no_worker(ports)) is None:
        return json_of(WorkerHealth(status="ok", message="Celery worker is running"), 200, _NO_STORE)
    return JSONResponse({"status": "error", "message": why, "detail": why}, 503, _NO_STORE)
