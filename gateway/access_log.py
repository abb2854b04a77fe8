"""The line of each request in the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.ids import is_job_id
from streams import logs

log = logs.get("gateway")

#: Seconds that lines are collected. A system call for each would cost a sixth of a submit, and a slow reader of the log would
#: hold up every request.
WRITE_S = 0.1
#: With so many lines waiting, the event loop waits for the reader of the log.
MOST_WAITING = 10_000


class RequestLines:
    """Lines of requests that have ended, written by a thread. Used by one event loop."""

    def __init__(self) -> None:
        self._waiting: list[dict[str, Any]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._thread = ThreadPoolExecutor(1, "gateway-access-log")
        self._writing: Future[None] | None = None

    def add(self, line: dict[str, Any]) -> None:
        self._waiting.append(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITE_S, self._write)
        elif len(self._waiting) >= MOST_WAITING:
            self._finish()

    def close(self) -> None:
        """Write what waits."""
        self._finish()
        self._thread.shutdown()

    def _write(self) -> None:
        if self._writing is not None and not self._writing.done():
            self._timer = asyncio.get_running_loop().call_later(WRITE_S, self._write)
            return
        self._timer = None
        lines, self._waiting = self._waiting, []
        self._writing = self._thread.submit(_write_all, lines)

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            self._writing.result()
        lines, self._waiting = self._waiting, []
        _write_all(lines)


class AccessLog:
    """Notes each request once it has ended: no path, no query and no body, which may hold a patient's data."""

    def __init__(self, app: ASGIApp, lines: RequestLines) -> None:
        self._app = app
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            ms = round((time.perf_counter() - begun) * 1000, 2)
            self._lines.add({**_described(scope), "status": status, "ms": ms})


def _described(scope: Scope) -> dict[str, Any]:
    principal = scope.get("state", {}).get("principal")
    route = getattr(scope.get("route"), "path", None)
    job = scope.get("path_params", {}).get("job_id")
    described = {"method": scope["method"], "route": route, "tenant": getattr(principal, "tenant", None)}
    return described | ({"job": job} if isinstance(job, str) and is_job_id(job) else {})


def _write_all(lines: Sequence[dict[str, Any]]) -> None:
    with logs.together():
        for line in lines:
            log.info("http_request", **line)
