"""Limits of each request. Pure ASGI: streams pass through untouched."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import response

#: Routes whose bodies are files, by method and path: they stream, limit the size themselves, and only a silence ends them.
FILES = (
    ("POST", re.compile("/v1/uploads(/tus)?")),
    ("PATCH", re.compile("/v1/uploads/tus/[^/]+")),
    ("PUT", re.compile("/v1/lab/objects/[^/]+")),
    ("POST", re.compile("/api/ai/inferences/")),
)
#: Paths whose bodies hold much: batches, and results of laboratory machines.
LARGE = re.compile("/v1/batches|/v1/lab/.*")
#: Bytes of any other body. A job's input has 256 KiB at most.
SMALL = 1 << 20
#: Bodies of the largest size that are in memory at a time: parsed, they take many times their size.
LARGEST_AT_A_TIME = 4
#: Seconds for the whole body of a request, and for the next part of a file.
BODY_S = 30.0
FILE_PART_S = 60.0


class RequestLimits:
    """Refuses bodies that are too large or too slow, and requests beyond the number that are served at a time."""

    def __init__(self, app: ASGIApp, *, body_bytes: int, requests: int) -> None:
        self._app = app
        self._body_bytes = body_bytes
        self._requests = requests
        self._serving = 0
        self._in_memory = BytesInMemory(LARGEST_AT_A_TIME * body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._serving >= self._requests:
            problem = response(503, "OVERLOADED", "The gateway serves as many requests as it may.", None, _RETRY)
            await problem(scope, receive, send)
            return
        self._serving += 1
        try:
            await self._limited(scope, receive, send)
        finally:
            self._serving -= 1

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        is_file = any(method == each and pattern.fullmatch(path) for each, pattern in FILES)
        limit = self._body_bytes if LARGE.fullmatch(path) else min(SMALL, self._body_bytes)
        body = _Body(receive, None if is_file else limit, self._in_memory)
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not is_file and length.isdigit() and int(length[:20]) > limit:
            refused = too_large(limit)
            answer = response(refused.status_code, "PAYLOAD_TOO_LARGE", refused.detail, headers=_CLOSE)
            await answer(scope, receive, send)
            return
        try:
            await self._app(scope, body.receive, send)
        finally:
            body.forget()


_RETRY = {"Retry-After": "1"}
_CLOSE = {"Connection": "close"}


@dataclass(slots=True)
class BytesInMemory:
    """Bytes of the bodies of all requests in flight."""

    most: int
    bytes: int = 0


class _Body:
    """The body of one request. What it raises is answered with a problem. `limit`: None for a file, which streams."""

    def __init__(self, receive: Receive, limit: int | None, in_memory: BytesInMemory) -> None:
        self._receive = receive
        self._limit = limit
        self._in_memory = in_memory
        self._size = 0
        self._until = time.monotonic() + BODY_S
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:  # then it waits for the client to leave
            return await self._receive()
        left = FILE_PART_S if self._limit is None else self._until - time.monotonic()
        try:
            async with asyncio.timeout(max(left, 0.0)):  # wait_for would make a task for each part
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "The body took too long.", _CLOSE) from None
        self._complete = not message.get("more_body", False)
        if self._limit is not None:
            self._count(len(message.get("body", b"")), self._limit)
        return message

    def forget(self) -> None:
        """The request has ended."""
        self._in_memory.bytes -= self._size
        self._size = 0

    def _count(self, more: int, limit: int) -> None:
        self._size += more
        self._in_memory.bytes += more
        if self._size > limit:
            raise too_large(limit)
        if self._in_memory.bytes > self._in_memory.most:
            raise HTTPException(503, "The gateway has as many large requests as it may.", _RETRY | _CLOSE)


def too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"The body is too large; {limit >> 20} MiB are allowed.", _CLOSE)
