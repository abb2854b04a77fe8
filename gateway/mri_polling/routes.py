"""The routes. Every answer is JSON, as people watch them with jq. docs/mri_lab.md describes them, not the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from gateway.mri_polling.bodies import (
    End,
    RequestId,
    bad_request,
    end_of,
    error_text,
    reported,
    status_word,
)
from gateway.mri_polling.callers import Starter, Watcher, Worker
from gateway.mri_polling.polling import MriPolling
from gateway.mri_polling.starting import MriRequests
from gateway.ports import P, Ports
from gateway.problems import Problem
from gateway.shaped_errors import ShapedErrors

PREFIX = "/api/mri"
#: Bytes of a body; those of the old workers have about 1 KB.
LARGEST_BODY = 64 * 1024

router = APIRouter(prefix=f"{PREFIX}/segmentation", include_in_schema=False)


def install(app: FastAPI, ports: Ports) -> None:
    """Serve the polling contract, with its own shape of errors."""
    app.state.mri_polling, app.state.mri_requests = MriPolling(ports), MriRequests(ports)
    app.include_router(router)
    app.add_middleware(ShapedErrors, prefix=f"{PREFIX}/", shape=error_body)


def error_body(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Return a problem in the old system's shape. Our code and next step are further fields."""
    more = {name: problem[name] for name in ("errors",) if name in problem}
    return {
        "success": False,
        "error": problem["detail"],
        "code": problem["code"],
        "next_step": problem["next_step"],
        **more,
    }


async def _polling(request: Request) -> MriPolling:
    found: MriPolling = request.app.state.mri_polling
    return found


async def _requests(request: Request) -> MriRequests:
    found: MriRequests = request.app.state.mri_requests
    return found


Polling = Annotated[MriPolling, Depends(_polling)]
Requests = Annotated[MriRequests, Depends(_requests)]


@router.post("/series/{series_id}/segment/")
async def segment(series_id: str, caller: Starter, requests: Requests, request: Request) -> JSONResponse:
    """Start a segmentation, if USE_LOCAL_INFERENCE is on. A series that has an open one gets that one."""
    job, new = await requests.start(caller, series_id, await json_body(request))
    said = "The segmentation was requested." if new else "A segmentation of this series is open already."
    return _answer(
        {
            "request_id": job.job_id,
            "job_id": job.job_id,
            "series_id": series_id,
            "status": status_word(job.state),
            "created": new,
            "message": said,
        }
    )


@router.get("/pending-requests/")
async def pending_requests(caller: Worker, polling: Polling) -> JSONResponse:
    """Hand out at most one request."""
    found = await polling.pending(caller)
    return _answer({"count": len(found), "requests": found})


@router.post("/update-status/{request_id}/")
async def update_status(request_id: str, caller: Worker, polling: Polling, request: Request) -> JSONResponse:
    """Take a worker's report: from now on the request is its own for long. A failure ends it."""
    id_, body = RequestId.parse(request_id), await json_body(request)
    if reported(body) == "failed":
        state = await polling.complete(caller, id_, End(None, error_text(body)))
        return _answer({"request_id": str(id_), "status": status_word(state)})
    await polling.report(caller, id_)
    return _answer({"request_id": str(id_), "status": "processing"})


@router.post("/complete-request/{request_id}/")
async def complete_request(
    request_id: str, caller: Worker, polling: Polling, ports: P, request: Request
) -> JSONResponse:
    """Take a worker's result, success or failure, as a candidate that the sink decides on."""
    id_ = RequestId.parse(request_id)
    end = end_of(await json_body(request), ports.settings.gateway_mri_names)
    state = await polling.complete(caller, id_, end)
    return _answer({"request_id": str(id_), "status": status_word(state)})


@router.get("/requests/")
async def list_requests(
    caller: Watcher,
    requests: Requests,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> JSONResponse:
    """List requests, newest first."""
    page, following = await requests.listed(caller, limit, cursor)
    return _answer({"count": len(page), "requests": page, "next_cursor": following})


async def json_body(request: Request) -> dict[str, Any]:
    """Read a body, which is a JSON object or empty. Raises Problem 400 and 413."""
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > LARGEST_BODY:
                raise Problem(413, "PAYLOAD_TOO_LARGE", f"The body has more than {LARGEST_BODY} bytes.")
    except ClientDisconnect:
        raise bad_request("The connection was closed before the whole body had come.") from None
    if not data.strip():
        return {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise bad_request("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise bad_request("The body is not a JSON object.")
    return found


def _answer(content: dict[str, Any]) -> JSONResponse:
    return JSONResponse({"success": True, **content}, headers={"Cache-Control": "no-store"})
