"""An upload backend at the door of video analysis, on twins: a processor that answers at once, by the real contract."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, ClassVar, Self

import httpx

from gateway.principal import Principal
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
from tests.harness.gateway_app import serving

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


class Tokens:
    """Lets tenants in by their names; the token of a tenant has the name `backend`."""

    async def principal(self, token: str) -> Principal | None:
        return None if token == "wrong" else Principal(token, frozenset({"read", "submit"}), "backend")


class Uploads:
    """The backend, and the installation behind the door: one gateway for all visits. A context manager."""

    def __init__(self, **settings: Any) -> None:
        self._open = ExitStack()
        Video.seen.clear()
        self.flow = self._open.enter_context(Flow(Video, contracts=(_CONTRACT,)))
        changes = {"gateway_auth": "open", "gateway_video": True, "callback_allow": ("localhost",), **settings}
        self.settings = self.flow.settings.model_copy(update=changes)
        self._runner = self._open.enter_context(asyncio.Runner())
        self._serving = serving(self.settings)
        self.client, self.ports = self._runner.run(self._serving.__aenter__())
        self._open.callback(lambda: self._runner.run(self._serving.__aexit__(None, None, None)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def visit(self, use: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
        async def used() -> Any:
            return await use(self.client)

        return self._runner.run(used())

    def post(self, **fields: Any) -> httpx.Response:
        """Ask for a film to be processed; `BACKEND` gets its result unless the fields say otherwise."""
        body = {"job_id": FILM, "video_url": URL, "fastapi_base_url": BACKEND, **fields}
        return self.ask("POST", "/process-video", json={name: one for name, one in body.items() if one is not ...})

    def status(self, job_id: str = FILM) -> httpx.Response:
        return self.ask("GET", f"/status/{job_id}")

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer: httpx.Response = self.visit(lambda client: client.request(method, f"{BASE}{path}", **more))
        return answer
