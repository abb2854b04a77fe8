"""Bodies of requests and responses. Values are never repeated in errors: a film's address may hold a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from gateway.models import EXAMPLE_ID, Url

#: A RETRYING job is processing here; cancelled and expired ones are failed.
STATES = Literal["processing", "completed", "failed"]
#: Codes that the backend stores.
ERROR_CODES = Literal["TIMEOUT_ERROR", "CONNECTION_ERROR", "ML_SERVER_ERROR"]
JOB_ID = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
#: Characters of a film's address: signed ones are long.
LONGEST_VIDEO_URL = 8192
LANGUAGE = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{2,8})?$"

_VIDEO_URL = "http or https. The worker fetches it; credentials may stand in its query."
_BASE_URL = "Results go to this URL + /api/upload-video/result. Default: the setting FASTAPI_BASE_URL."


def _splittable(url: str) -> str:
    """Return the URL. Raises ValueError for a URL with a malformed host, such as `http://[`; the error does not quote it."""
    try:
        urlsplit(url)
    except ValueError:
        raise ValueError("its host is malformed") from None
    return url


class VideoRequest(BaseModel):
    """A film to analyse. Keys that this version does not know are ignored, as older clients send some."""

    model_config = ConfigDict(
        extra="ignore",
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {
                    "job_id": EXAMPLE_ID,
                    "video_url": "https://media.example/interview.mp4",
                    "fastapi_base_url": "https://backend.example",
                    "language": "auto",
                }
            ]
        },
    )

    job_id: Annotated[StrictStr, Field(pattern=JOB_ID)] = Field(
        description="The backend's id of this job, a UUID. The same id is the same job.", examples=[EXAMPLE_ID]
    )
    video_url: Annotated[
        StrictStr,
        Field(pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#][^\s]*$", max_length=LONGEST_VIDEO_URL),
        AfterValidator(_splittable),
    ] = Field(description=_VIDEO_URL, examples=["https://media.example/interview.mp4"])
    fastapi_base_url: Url | None = Field(None, description=_BASE_URL)
    language: Annotated[StrictStr, Field(pattern=LANGUAGE)] | None = Field(
        None, description="en, ko, auto (the default), or another ISO 639-1 code.", examples=["auto"]
    )
    enable_gpu: StrictBool | None = Field(
        None, description="Accepted, of no effect: each worker's own setting decides."
    )
    emotion_detection: StrictBool | None = Field(None, description="No emotion is detected, and the result says so.")
    max_workers: Annotated[StrictInt, Field(ge=1, le=64)] | None = Field(
        None, description="Accepted, of no effect: SPEECH_THREADS of each worker decides."
    )


class AcceptedVideo(BaseModel):
    """A film that was accepted, now or before under this `job_id`. `estimated_time`: in seconds, 300 if unknown."""

    job_id: str = Field(examples=[EXAMPLE_ID])
    status: STATES = Field(examples=["processing"])
    message: str
    status_url: str = Field(examples=[f"/api/upload-video/status/{EXAMPLE_ID}"])
    estimated_time: int = Field(examples=[300])


class VideoSegment(BaseModel):
    """Seconds from the film's beginning."""

    start: float
    end: float
    text: str
    speaker: str | None = Field(None, description="Absent if unknown.")


class VideoMetadata(BaseModel):
    """`processing_time`: seconds."""

    model_version: str
    processing_time: float
    unique_speakers: int
    total_segments: int


class VideoResult(BaseModel):
    """`duration`: seconds of film."""

    text: str
    segments: list[VideoSegment]
    language: str
    duration: float
    metadata: VideoMetadata


class VideoStatus(BaseModel):
    """The body that the backend is called with, as it would be now. `result` is present only if the job is completed, `error_*`
    only if it failed."""

    job_id: str = Field(examples=[EXAMPLE_ID])
    status: STATES
    progress: int = Field(ge=0, le=100)
    message: str
    result: VideoResult | None = Field(None, description="Absent unless completed.")
    error_message: str | None = Field(None, description="Absent unless failed.")
    error_code: ERROR_CODES | None = Field(None, description="Absent unless failed.")


class ServiceHealth(BaseModel):
    """`workers`: that run now, null if it is not known."""

    status: Literal["healthy"]
    service: Literal["video-analysis"]
    workers: int | None


class ErrorReference(BaseModel):
    code: str = Field(examples=["NOT_FOUND"])


class VideoError(BaseModel):
    """Every response that is not 200. `message` is for people and says the next step."""

    message: str = Field(examples=["There is no such job. Check its job_id."])
    error: ErrorReference


def error_body(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Return a problem in the backend's shape: it reads `message` and `error.code`, and nothing else."""
    said = str(problem["detail"])
    if errors := problem.get("errors"):
        said += " " + " ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}." for one in errors)
    elif next_step := problem["next_step"]:
        said += f" {next_step}"
    return {"message": said, "error": {"code": problem["code"]}}
