"""Limits of each request. Pure ASGI: streams pass through untouched."""

from __future__ import annotations

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import response

#: Bodies below these paths are files: their routes limit their size, and only a silence ends them.
FILE_PATHS = ("/v1/uploads", "/v1/lab/objects")
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
        body = _Body(receive, scope["path"].startswith(FILE_PATHS), self._body_bytes)
        length = dict(scope["headers"]).get(b"content-length", b"")
        if body.limited and length.isdigit() and int(length[:20]) > self._body_bytes:
            refused = body.too_large()
            answer = response(refused.status_code, "PAYLOAD_TOO_LARGE", refused.detail, headers=_CLOSE)
            await answer(scope, receive, send)
            return
        await self._app(scope, body.receive, send)


_RETRY = {"Retry-After": "1"}
_CLOSE = {"Connection": "close"}


class _Body:
    """The body of one request. What it raises is answered with a problem."""

    def __init__(self, receive: Receive, is_file: bool, limit: int) -> None:
        self.limited = not is_file
        self._receive = receive
        self._limit = limit
        self._size = 0
        self._until = time.monotonic() + BODY_S
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:  # then it waits for the client to leave
            return await self._receive()
        left = self._until - time.monotonic() if self.limited else FILE_PART_S
        try:
            async with asyncio.timeout(max(left, 0.0)):  # wait_for would make a task for each part
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "The body took too long.", _CLOSE) from None
        self._size += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self.limited and self._size > self._limit:
            raise self.too_large()
        return message

    def too_large(self) -> HTTPException:
        return HTTPException(413, f"The body is too large; {self._limit >> 20} MiB are allowed.", _CLOSE)
