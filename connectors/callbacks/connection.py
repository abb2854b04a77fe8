"""Posts on one connection to a backend: sends a request at a time and reads the response to it.

A protocol of its own, because aiohttp's makes a parser, a stream and several objects for each response, and each try then needs
a timer: here a connection has one parser and one timer for all its posts (docs/adr/0049-the-callback-client.md). The parser is
llhttp, by httptools.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import NamedTuple

import aiohttp
import httptools
from aiohttp.connector import Connection

#: Seconds to wait for the rest of a response after its status is known.
BODY_S = 1.0
#: Bytes of a failed response's body that are kept for the operator.
ERROR_HEAD = 1024
#: Bytes after which a response is cut off and its connection closed: the response to a callback is only a receipt.
MAX_ANSWER = 65536
#: Responses such as 100 Continue that may come before the final one.
INTERIM = 10
#: Seconds after which an idle connection is not reused. Below the 5 s of common servers (uvicorn's default), so that a
#: callback rarely uses a connection that is just being closed.
KEEP_ALIVE_S = 4.0
#: Timers of an event loop are this exact, in seconds.
_TICK_S = 0.001


class NoAnswer(Exception):
    """The backend hung up, or what it sent is no HTTP response."""


class HttpResponse(NamedTuple):
    """Response to a POST. `head`: beginning of the body, unless the status is 2xx."""

    status: int
    retry_after: str | None
    head: bytes


class HttpConnection(asyncio.Protocol):
    """Takes over a connection that aiohttp has opened. `lost` is called once when it has ended.

    Only the status of a response counts: a body that breaks off, is slow or never ends costs no more than the connection."""

    def __init__(self, opened: Connection, lost: Callable[[HttpConnection], None]) -> None:
        """Raises aiohttp.ClientConnectionError if it has ended already."""
        transport = opened.transport
        if transport is None or transport.is_closing():
            opened.close()
            raise aiohttp.ServerDisconnectedError
        transport.set_protocol(self)
        self._opened = opened
        self._transport = transport
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        # As lenient as aiohttp's client, which read these responses before.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._answer: asyncio.Future[HttpResponse] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._expires_at = self._timer_at = self._loop.time() + KEEP_ALIVE_S
        self._timer = self._loop.call_at(self._timer_at, self._on_timer)
        self._clear()

    @property
    def reusable(self) -> bool:
        """True if the last response has ended and another post may follow."""
        return self._complete and not self._transport.is_closing() and self._loop.time() < self._expires_at

    def post(self, request: bytes, expires_at: float) -> asyncio.Future[HttpResponse]:
        """Send a request; return its response to come. If no status has come at `expires_at`, a time of the event loop, that
        raises TimeoutError. It raises NoAnswer if the connection ends before."""
        self._clear()
        self._answer = answer = self._loop.create_future()
        self._expire_at(expires_at)
        self._transport.write(request)
        return answer

    async def send(self, chunk: bytes) -> bool:
        """Send more of a request, no faster than the connection takes it. False if the connection has ended."""
        self._transport.write(chunk)
        if self._writable is not None:
            await self._writable
        return not self._transport.is_closing()

    def rest(self) -> None:
        """Keep the connection for another post, for some seconds."""
        self._answer = None
        self._expire_at(self._loop.time() + KEEP_ALIVE_S)

    def close(self) -> None:
        if self._answer is not None and not self._complete:
            self._transport.abort()  # the backend may never take what is still to be sent
            self._end(NoAnswer("its connection was closed here"))
            if not self._answer.cancelled():
                self._answer.exception()  # no warning if no task waits for it any more
        self._opened.close()

    def _clear(self) -> None:
        self._status = self._received = self._interim = 0
        self._retry_after: str | None = None
        self._head = b""
        self._complete = False

    # ── the timer: of a post, of the rest of its response, or of an idle connection ──

    def _expire_at(self, when: float) -> None:
        self._expires_at = when
        if when < self._timer_at:  # a later one is set again when the timer ends
            self._timer.cancel()
            self._timer_at = when
            self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer_at = math.inf
        if self._expires_at - self._loop.time() > _TICK_S:
            self._expire_at(self._expires_at)
        elif self._answer is None:
            self.close()
        else:
            self._end(TimeoutError())

    # ── called by the transport ──

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None or answer.done():  # nothing was asked
            self.close()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # a status 101, without a request for one
            self._complete = False
        except httptools.HttpParserError as error:
            self._complete = False
            self._end(NoAnswer(f"it is no HTTP ({error})"))
        if answer.done():
            return
        if self._received > MAX_ANSWER:
            self._end(NoAnswer(f"its headers have more than {MAX_ANSWER} bytes"))
        elif self._status:
            self._expire_at(min(self._expires_at, self._loop.time() + BODY_S))

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.cancel()
        self.resume_writing()
        self._end(NoAnswer(f"the connection broke ({error})" if error else "it closed the connection"))
        self._complete = False
        self._opened.close()
        self._lost(self)

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # ── called by the parser ──

    def on_message_begin(self) -> None:
        self._complete = False  # if the final response was complete: no other one is expected

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 11 and name.lower() == b"retry-after" and not self._status:
            self._retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if not self._status and (status >= 200 or status == 101):
            self._status = status

    def on_body(self, body: bytes) -> None:
        if not 200 <= self._status < 300 and len(self._head) < ERROR_HEAD:
            self._head += body[: ERROR_HEAD - len(self._head)]

    def on_message_complete(self) -> None:
        if self._answer is None or self._answer.done():
            return
        if self._status:
            self._complete = self._parser.should_keep_alive()
            self._answer.set_result(HttpResponse(self._status, self._retry_after, self._head))
            return
        self._retry_after = None
        self._interim += 1
        if self._interim > INTERIM:
            self._end(NoAnswer(f"it sent more than {INTERIM} interim responses"))

    def _end(self, error: Exception) -> None:
        """End the post before its response is complete: with the status if that is known, else with this error."""
        if self._answer is None or self._answer.done():
            return
        if self._status:
            self._answer.set_result(HttpResponse(self._status, self._retry_after, self._head))
        else:
            self._answer.set_exception(error)
