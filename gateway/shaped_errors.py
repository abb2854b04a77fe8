"""Errors in the shape of an old system, on the paths that its unchanged clients call.

Problems are made in one place (`gateway/problems.py`), also those of limits and of unknown paths; this rewrites their bodies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import MEDIA_TYPE, unforeseen

#: Makes the old system's body from a problem's members.
Shape = Callable[[Mapping[str, Any]], dict[str, Any]]


class ShapedErrors:
    """Gives every problem below `prefix` another body; its status and headers stay. Pure ASGI; other responses pass through.

    Paths below it reach the routes with exactly this `end`, so none is redirected: a slash, as Django has them, or nothing.
    """

    def __init__(self, app: ASGIApp, *, prefix: str, shape: Shape, end: str = "/") -> None:
        self._app = app
        self._prefix = prefix
        self._shape = shape
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        scope["path"] = scope["path"].rstrip("/") + self._end
        answer = _Answer(send, self._shape)
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:
            if answer.started:
                raise
            await unforeseen(error)(scope, receive, answer.send)  # Starlette would answer it outside of us


class _Answer:
    """The response to one request. A problem is held back until its body is whole."""

    def __init__(self, send: Send, shape: Shape) -> None:
        self._send = send
        self._shape = shape
        self._held: Message | None = None
        self._body = bytearray()
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            if Headers(raw=message["headers"]).get("content-type") == MEDIA_TYPE:
                self._held = message
                return
        if self._held is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            start, self._held = self._held, None
            body = JSONResponse(self._shape(json.loads(self._body))).body
            headers = MutableHeaders(raw=list(start["headers"]))
            headers["content-type"], headers["content-length"] = "application/json", str(len(body))
            await self._send({**start, "headers": headers.raw})
            await self._send({"type": "http.response.body", "body": body})
