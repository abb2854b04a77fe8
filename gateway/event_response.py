"""The response that sends a stream of events: ends with the client, the stream, or the gateway, whichever is first."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.event_stream import EventSource
from schemas.errors import SluiceError
from streams import logs

log = logs.get("gateway")

#: Seconds that a client may take to read what was sent before its connection is given up.
SEND_S = 30.0
HEADERS = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",  # nginx would hold events back otherwise
}


class EventStreamResponse(StreamingResponse):
    """Closes the source at its end."""

    def __init__(self, source: EventSource) -> None:
        super().__init__(iter(()), headers=HEADERS, media_type="text/event-stream")
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(self._wait_until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            with suppress(OSError, TimeoutError):
                await self._send_all(send)
        finally:
            gone.cancel()
            self._source.close()

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._source.chunks()) as chunks:
            try:
                async for chunk in chunks:
                    async with asyncio.timeout(SEND_S):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except SluiceError as error:  # the client continues by its last id
                log.warning("stream_ended", code=error.code)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _wait_until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if (subscription := self._source.subscription) is not None:
            subscription.closed = True
            subscription.wake()
