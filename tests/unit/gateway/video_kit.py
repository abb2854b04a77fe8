"""An upload backend at the door of video analysis, on twins: a processor that answers at once, by the real contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import httpx

from processors.policy import Policy
from processors.protocol import Job, JobContext, LoadContext
from processors.video.contract import (
    NOT_AVAILABLE,
    VIDEO,
    VideoInput,
    VideoMetadata,
    VideoOutput,
    VideoSegment,
)
from schemas.errors import ConnectionFailed, InvalidInput
from streams.testing import Flow
from tests.harness.gateway_on_twins import GatewayOnTwins

BASE = "/api/upload-video"
FILM = "5b0c7f9e-2f53-4a0e-9d0d-0a6a3f1c2b4d"
URL = "https://media.example/kim.mp4?signature=abc"
BACKEND = "http://localhost:8000"
#: A flow has no worker for custody by lease.
_CONTRACT = replace(VIDEO, custody="offset")


class Video:
    name, version, request, result, model_sha256 = "video", "1", VideoInput, VideoOutput, ""
    policy = Policy()
    #: Inputs of the jobs that ran.
    seen: ClassVar[list[VideoInput]] = []

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[VideoInput], ctx: JobContext) -> VideoInput:
        self.seen.append(job.input)
        ctx.progress("transcribe", 41.9, "Transcribing")
        if job.input.language == "xx":
            raise InvalidInput("The speech model has no language 'xx'.")
        if "unreachable" in str(job.input.video_url):
            raise ConnectionFailed("The film's server does not answer.")
        return job.input

    def run(self, items: Sequence[VideoInput]) -> list[VideoInput]:
        return list(items)

    def finish(self, job: Job[VideoInput], raw: VideoInput, ctx: JobContext) -> VideoOutput:
        segments = [VideoSegment(0.5, 1.5, "안녕하세요", "SPEAKER_00")]
        metadata = VideoMetadata("1+twin", 0.25, 1, 1)
        return VideoOutput("안녕하세요", segments, "ko", 301.0, metadata, NOT_AVAILABLE, [], "cpu")


class Uploads(GatewayOnTwins):
    """The backend, and the installation behind the door. Paths are those below `BASE`."""

    def __init__(self, **settings: Any) -> None:
        Video.seen.clear()
        flow = Flow(Video, contracts=(_CONTRACT,))
        super().__init__(flow, **{"gateway_video": True, "callback_allow": ("localhost",), **settings})

    def post(self, **fields: Any) -> httpx.Response:
        """Ask for a film to be processed; `BACKEND` gets its result unless the fields say otherwise."""
        body = {"job_id": FILM, "video_url": URL, "fastapi_base_url": BACKEND, **fields}
        return self.ask("POST", "/process-video", json={name: one for name, one in body.items() if one is not ...})

    def status(self, job_id: str = FILM) -> httpx.Response:
        return self.ask("GET", f"/status/{job_id}")

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return super().ask(method, f"{BASE}{path}", **more)
