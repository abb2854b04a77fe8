"""Submits and reads films by a backend's own ids. A film is a job of `video`: `external_id` is the backend's `job_id`."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from connectors.views import JobStatus
from gateway.models import Queue, SubmitJob
from gateway.ports import Ports
from gateway.video.bodies import ERROR_CODES, STATES, AcceptedVideo, VideoRequest, VideoResult, VideoStatus
from schemas.errors import Conflict, ErrorCode, InvalidInput, NotFound, StartupError
from schemas.ids import derived_id
from schemas.states import TERMINAL, State
from streams.settings import Settings

PREFIX = "/api/upload-video"
PROCESSOR = "video"
#: Label of a job: the hash of its request, by which a repetition is recognized.
REQUEST = "request_sha256"
#: Seconds that the contract names, where the queue gives no better estimate.
ESTIMATE_S = 300
#: Fields of a request that are fields of the processor's input.
_INPUTS = {"video_url", "language", "emotion_detection"}
_CODES: Mapping[str | None, ERROR_CODES] = {
    ErrorCode.TIMEOUT_ERROR: "TIMEOUT_ERROR",
    ErrorCode.DEADLINE_EXCEEDED: "TIMEOUT_ERROR",
    ErrorCode.CONNECTION_ERROR: "CONNECTION_ERROR",
}


def check(settings: Settings) -> None:
    """Raise StartupError if the door is open and nothing serves `video`."""
    if settings.gateway_video and PROCESSOR not in settings.served_processors:
        raise StartupError(
            f"SLUICE_GATEWAY_VIDEO is on, and this installation does not serve {PROCESSOR!r}.",
            next_step=f"Name it in SLUICE_PROCESSORS: {','.join([*settings.served_processors, PROCESSOR])}.",
        )


def job_id_of(tenant: str, job_id: str) -> str:
    """Return the id of our job for a backend's job id, which is a UUID in any case of letters."""
    return derived_id(tenant, "", job_id.lower(), "video")


async def submit(ports: Ports, tenant: str, asked: VideoRequest) -> AcceptedVideo:
    """Accept a film; return the job of before for a repeated request.

    Raises Conflict for another film under this `job_id`, InvalidInput without a backend's URL, and as `JobDoor.submit`.
    """
    job_id, fingerprint = job_id_of(tenant, asked.job_id), _fingerprint(asked)
    status, queue = await _known(ports, tenant, job_id), None
    if status is None:
        job = _job(ports.settings, asked, fingerprint)
        try:
            status, _, queue = await ports.door.submit(tenant, job, asked.job_id, job_id)
        except Conflict:  # it came twice at the same moment, the second time with another signature in its URL
            status = await _known(ports, tenant, job_id)
    if status is None or status.labels.get(REQUEST) != fingerprint:
        raise Conflict("Another film was submitted with this job_id.", next_step="Use a new job_id.")
    ended = State(status.state) in TERMINAL
    return AcceptedVideo(
        job_id=asked.job_id,
        status=_state(status),
        message=_message(status) if ended else _accepted(ports),
        status_url=f"{PREFIX}/status/{asked.job_id}",
        estimated_time=0 if ended else _estimate(queue),
    )


def _job(settings: Settings, asked: VideoRequest, fingerprint: str) -> SubmitJob:
    if not (base := asked.fastapi_base_url or settings.fastapi_base_url):
        raise InvalidInput(
            "The request has no fastapi_base_url, so the result could go nowhere.",
            next_step="Send it, or set FASTAPI_BASE_URL for the gateway.",
        )
    job = SubmitJob(
        processor=PROCESSOR,
        input=asked.model_dump(include=_INPUTS, exclude_none=True),
        external_id=asked.job_id,
        callback_url=base.rstrip("/"),
        labels={REQUEST: fingerprint},
    )
    deadline = datetime.now(UTC) + timedelta(seconds=settings.gateway_video_deadline_s)
    return job.model_copy(update={"deadline": deadline})  # as a field it is a text


def _accepted(ports: Ports) -> str:
    """Return what becomes of an accepted film now. The number of workers is not known where they claim jobs by lease."""
    queues = ports.admission.queues
    if queues.paused(PROCESSOR):
        return "The film was accepted. It waits, because the processor is paused."
    if queues.workers(PROCESSOR) == 0:
        return "The film was accepted. It waits, because no worker of the processor runs."
    return "The film was accepted."


def _fingerprint(asked: VideoRequest) -> str:
    """Return a hash by which a repetition is recognized. A URL counts without its query: a new signature is the same film."""
    fields = asked.model_dump(include=_INPUTS, exclude_none=True)
    fields["video_url"] = urlsplit(asked.video_url)._replace(query="", fragment="").geturl()
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _estimate(queue: Queue | None) -> int:
    if queue is None or queue.estimated_end_s is None:
        return ESTIMATE_S
    return max(1, math.ceil(queue.estimated_end_s))


async def _known(ports: Ports, tenant: str, job_id: str) -> JobStatus | None:
    try:
        return await ports.reader.status(job_id, tenant)
    except NotFound:
        return None


# ── reading ──


async def read(ports: Ports, tenant: str, asked_id: str) -> VideoStatus:
    """Return what the backend would be called with now, also right after a submit. Raises NotFound, Unreachable."""
    status = await _known(ports, tenant, job_id_of(tenant, asked_id))
    if status is None:
        raise NotFound("There is no such job.", next_step="Check its job_id.")
    state, more = _state(status), dict[str, Any]()
    if state == "completed":
        view = await ports.jobs.call(lambda store: store.job(status.job_id, status.run))
        if view is not None:
            more["result"] = VideoResult.model_validate(view.output)
    elif state == "failed":
        more["error_code"] = _CODES.get(status.error_code, "ML_SERVER_ERROR")
        more["error_message"] = status.error_message or "The job ended without a message."
    return VideoStatus(
        job_id=asked_id, status=state, progress=_progress(status, state), message=_message(status), **more
    )


def _state(status: JobStatus) -> STATES:
    state = State(status.state)
    if state is State.COMPLETED:
        return "completed"
    return "failed" if state in TERMINAL else "processing"


def _progress(status: JobStatus, state: STATES) -> int:
    return {"completed": 100, "failed": 0}.get(state, int(status.percent or 0))


def _message(status: JobStatus) -> str:
    """Return the same words as docs/callback_shapes/video_analysis.toml."""
    ends = {"completed": "Analysis completed", "failed": "Analysis failed"}
    return ends.get(_state(status)) or status.stage or "Processing"
