"""uvicorn's HTTP protocol with the limits that it lacks: on the time and the size of a request's headers."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Seconds from a connection's start, or from the first byte of a further request, until its headers must be complete.
HEADERS_S = 10.0
#: Bytes of a request line with its headers.
LARGEST_HEADERS = 64 * 1024


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes connections that send their headers slowly (slowloris) or without end."""

    _timer: asyncio.TimerHandle | None = None
    _in_headers = False
    _header_bytes = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # for each connection
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._header_bytes += len(data)
        if self._in_headers and self._header_bytes - len(data) > LARGEST_HEADERS:
            self.transport.close()
            return
        super().data_received(data)

    def on_message_begin(self) -> None:
        if not self._in_headers:
            self._begin()
        super().on_message_begin()
        # uvicorn takes `client` from X-Forwarded-For where the peer is this machine: a header that anyone may send.
        self.scope["state"]["peer"] = self.client[0] if self.client else ""

    def on_headers_complete(self) -> None:
        self._end()
        super().on_headers_complete()

    def _begin(self) -> None:
        self._in_headers, self._header_bytes = True, 0
        self._timer = self.loop.call_later(HEADERS_S, self._close)

    def _end(self) -> None:
        self._in_headers = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()
