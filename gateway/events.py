"""`/v1/jobs/{job_id}/events` and `/v1/events`: events as they happen, by server-sent events (text/event-stream)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from gateway.event_ids import LONGEST, JobPlace, LogPlace
from gateway.event_response import EventStreamResponse
from gateway.event_stream import EventSource, JobEvents
from gateway.event_stream_all import AllEvents, Filter
from gateway.jobs import JobId, Run, Text
from gateway.openapi import problems
from gateway.ports import P
from gateway.principal import CanRead

router = APIRouter(prefix="/v1", tags=["Events"])

After = Annotated[
    str | None, Query(max_length=LONGEST, description="Id of the last event that was seen; `Last-Event-ID` goes first.")
]
LastEventId = Annotated[str | None, Header(max_length=LONGEST, description="Id of the last event that was seen.")]
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "The stream.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
}


@router.get(
    "/jobs/{job_id}/events",
    response_class=Response,
    responses={
        **_STREAM,
        204: {"description": "The last event that was seen is the outcome: there is nothing to come."},
        **problems(404),
    },
)
async def of_job(
    request: Request,
    ports: P,
    principal: CanRead,
    job_id: JobId,
    run: Run = None,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow a job: `state`, `progress`, `text` and `outcome`, after which the stream ends. A new stream begins with the state
    now and the text so far; one with an id continues right after that event."""
    seen = last_event_id or after
    place = JobPlace.parse(seen) if seen else None
    if place is not None and place.partition is None:
        await ports.reader.status(job_id, principal.tenant, place.run)
        return Response(status_code=204)  # an EventSource stops to reconnect
    return await _opened(JobEvents(ports, principal.tenant, job_id, run, place), request)


@router.get("/events", response_class=Response, responses=_STREAM)
async def of_all(
    request: Request,
    ports: P,
    principal: CanRead,
    processor: Text = None,
    batch_id: Text = None,
    case_id: Text = None,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow all of your jobs in one stream, from now on or right after the event with the given id. It does not end."""
    seen = last_event_id or after
    shown = Filter(principal.tenant, processor or None, batch_id or None, case_id or None)
    return await _opened(AllEvents(ports, shown, LogPlace.parse(seen) if seen else None), request)


async def _opened(source: EventSource, request: Request) -> Response:
    source.still_allowed = getattr(request.state, "still_allowed", None)
    try:
        await source.open()
    except BaseException:
        source.close()
        raise
    return EventStreamResponse(source)
