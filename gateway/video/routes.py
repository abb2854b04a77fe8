"""`/api/upload-video` and `/health`: the door of video analysis. Off unless SLUICE_GATEWAY_VIDEO is true (docs/video.md).

Every response below the prefix that is not 200 is `{"message", "error": {"code"}}`, also those of limits and unknown paths.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse

from gateway.json_body import checked, read_json
from gateway.models import EXAMPLE_ID
from gateway.openapi import DescribedApp, body_schema, json_of, problems
from gateway.ports import P
from gateway.shaped_errors import ShapedErrors
from gateway.url_credentials import CanReadByUrl, CanSubmitByUrl
from gateway.video import videos
from gateway.video.bodies import JOB_ID, AcceptedVideo, ServiceHealth, VideoError, VideoRequest, VideoStatus, error_body

router = APIRouter(tags=["Video analysis"])

JobIdOfPath = Annotated[str, Path(pattern=JOB_ID, description="The backend's id of a job.", examples=[EXAMPLE_ID])]
#: FastAPI does not know a body that the route reads itself.
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": body_schema(VideoRequest)}}}}
_NO_STORE = {"Cache-Control": "no-store"}


def install(app: DescribedApp) -> None:
    """Serve the door, with its own shape of errors."""
    app.include_router(router)
    app.error_bodies[f"{videos.PREFIX}/"] = VideoError
    app.add_middleware(ShapedErrors, prefix=f"{videos.PREFIX}/", shape=error_body, end="")


@router.post(
    f"{videos.PREFIX}/process-video", response_model=AcceptedVideo, responses=problems(409), openapi_extra=_BODY
)
async def process_video(ports: P, principal: CanSubmitByUrl, request: Request) -> Response:
    """Accept a film. The answer comes at once, whatever the film's length; progress and the result are POSTed to the backend.

    Repeating a request under its `job_id` answers with the job of before; another film under it is a 409.
    """
    asked = checked(VideoRequest, await read_json(request))
    return json_of(await videos.submit(ports, principal.tenant, asked))


@router.get(f"{videos.PREFIX}/status/{{job_id}}", response_model=VideoStatus, responses=problems(404))
async def status(ports: P, principal: CanReadByUrl, job_id: JobIdOfPath) -> Response:
    """Read a job: the body that the backend was, or would be, called with. Keys without a value are absent."""
    found = await videos.read(ports, principal.tenant, job_id)
    return Response(found.model_dump_json(exclude_none=True), 200, _NO_STORE, "application/json")


@router.get("/health", response_model=ServiceHealth, responses={503: {"model": VideoError}})
async def health(ports: P) -> Response:
    """Answer 200 while requests may be sent; 503 from the moment the gateway begins to stop. It needs no token."""
    if ports.loops.dead or ports.stopping.is_set():
        stopped = {"message": "The gateway is stopping. Try again.", "error": {"code": "OVERLOADED"}}
        return JSONResponse(stopped, 503, _NO_STORE)
    workers = ports.admission.queues.workers(videos.PROCESSOR)
    return json_of(ServiceHealth(status="healthy", service="video-analysis", workers=workers), 200, _NO_STORE)
