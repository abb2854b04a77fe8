"""Reads large JSON bodies on a thread, in parts, so that the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from json import decoder
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

#: Bytes from which a body is read on a thread.
LARGE = 256 * 1024
_WHITESPACE = " \t\r\n"
_decoder = json.JSONDecoder()
#: The parsers of the standard library in Python. Its parser in C holds the interpreter until the whole text is read.
_read_object: Callable[..., Any] = vars(decoder)["JSONObject"]
_read_array: Callable[..., Any] = vars(decoder)["JSONArray"]


class LargeJsonRoute(APIRoute):
    """A route whose JSON body may be large."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            return await handle(_LargeJsonRequest(request.scope, request.receive))

        return handled


class _LargeJsonRequest(Request):
    async def json(self) -> Any:
        body = await self.body()
        return await (asyncio.to_thread(read_json, body) if len(body) >= LARGE else super().json())


def read_json(body: bytes) -> Any:
    """Return what `json.loads` does, reading each item of an object's lists by itself. Raises JSONDecodeError."""
    text = body.decode(json.detect_encoding(body), "surrogatepass")
    begin = len(text) - len(text.lstrip(_WHITESPACE))
    if not text.startswith("{", begin):
        return json.loads(text)
    value, end = _read_object((text, begin + 1), True, _field, None, None)
    if rest := text[end:].lstrip(_WHITESPACE):
        raise json.JSONDecodeError("Extra data", text, len(text) - len(rest))
    return value


def _field(text: str, at: int) -> Any:
    if text.startswith("[", at):
        return _read_array((text, at + 1), _decoder.raw_decode)
    return _decoder.raw_decode(text, at)
