"""Sends one POST over a connection that is kept open between posts.

aiohttp's connector makes the connections (name resolution, TLS, happy eyeballs), `connection.py` posts over them. The features
of aiohttp's ClientSession (cookies, redirects, proxies, tracing, form encoding) must all be off for a callback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from connectors.callbacks.connection import HttpConnection, HttpResponse, NoAnswer
from connectors.callbacks.file_body import FileBody
from connectors.callbacks.resolve import split_url
from schemas.errors import InvalidInput

USER_AGENT = "sluice-callbacks/1"
CONNECT_S = 5.0

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_CONNECT_TIMEOUT = aiohttp.ClientTimeout(sock_connect=CONNECT_S)

#: Errors of a try on the network, besides TimeoutError.
WIRE_ERRORS = (NoAnswer, aiohttp.ClientError, HttpProcessingError, OSError)


class Connections:
    """The connections to one scheme, host and port: at most `limit` are used at a time. All that are open are in `opened`, too,
    which is shared with other origins."""

    def __init__(self, connector: aiohttp.TCPConnector, origin: URL, limit: int, opened: set[HttpConnection]) -> None:
        """Raises ValueError for a host that no resolver accepts."""
        self._connector = connector
        self._request = aiohttp.ClientRequest("POST", origin, loop=asyncio.get_running_loop())
        self._unused = asyncio.Semaphore(limit)
        self._idle: list[HttpConnection] = []
        self._opened = opened

    async def take(self, deadline: float) -> HttpConnection:
        """Return a connection for one post, until `give_back`: the one used last, or a new one. Raises TimeoutError if there is
        none at `deadline`, a time of the event loop; aiohttp's errors and those of the guard."""
        if self._unused.locked():
            async with asyncio.timeout_at(deadline):
                await self._unused.acquire()
        else:
            await self._unused.acquire()  # does not wait
        try:
            while self._idle:
                connection = self._idle.pop()
                if connection.reusable:
                    return connection
                connection.close()
            async with asyncio.timeout_at(deadline):
                return await self._open()
        except BaseException:
            self._unused.release()
            raise

    def give_back(self, connection: HttpConnection) -> None:
        if connection.reusable:
            connection.rest()
            self._idle.append(connection)
        else:
            connection.close()
        self._unused.release()

    async def _open(self) -> HttpConnection:
        try:
            opened = await self._connector.connect(self._request, [], _CONNECT_TIMEOUT)
        except TimeoutError as error:
            raise aiohttp.ClientConnectionError(f"no connection within {CONNECT_S:g} s") from error
        connection = HttpConnection(opened, self._lost)
        self._opened.add(connection)
        return connection

    def _lost(self, connection: HttpConnection) -> None:
        self._opened.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)


@dataclass(frozen=True, slots=True)
class Target:
    """Prepared once per URL: the connections to its origin and the first lines of every request."""

    connections: Connections
    lines: bytes


async def post(target: Target, headers: Mapping[str, str], body: bytes | FileBody, timeout_s: float) -> HttpResponse:
    """Send and return the response. `timeout_s` covers everything up to its status. Raises TimeoutError, WIRE_ERRORS and the
    errors of the guard."""
    files = None if isinstance(body, bytes) else body
    request = b"".join((target.lines, _header_lines(headers, len(body)), body if isinstance(body, bytes) else b""))
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    connection = await target.connections.take(deadline)
    try:
        if loop.time() > deadline:  # this process was stopped meanwhile
            raise TimeoutError
        answer = connection.post(request, deadline)
        if files is not None:
            async with asyncio.timeout_at(deadline):
                await _send_files(connection, files)
        return await answer
    except BaseException:
        connection.close()
        raise
    finally:
        target.connections.give_back(connection)


async def _send_files(connection: HttpConnection, files: FileBody) -> None:
    """Send the body piece by piece. A backend that refuses it early has answered, and its answer is read next."""
    async for chunk in files.stream():
        if not await connection.send(chunk):
            return


def first_lines(url: str, origin: URL) -> bytes:
    """Return the first lines of each request to a URL."""
    path = _request_target(split_url(url)[2])
    lines = f"POST {path} HTTP/1.1\r\nHost: {origin.host_port_subcomponent}\r\nUser-Agent: {USER_AGENT}\r\n"
    return lines.encode("ascii")


def _header_lines(headers: Mapping[str, str], length: int) -> bytes:
    values = "".join(headers.values())
    if not (values.isascii() and values.isprintable()):
        raise InvalidInput("A callback's header contains a control character or a character outside ASCII.")
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"{lines}Content-Length: {length}\r\n\r\n".encode("ascii")


def _request_target(rest: str) -> str:
    """Return path and query unchanged; only characters outside ASCII are escaped."""
    path = rest.partition("#")[0]
    path = path if path.startswith("/") else "/" + path
    return path if path.isascii() else quote(path, safe=_PRINTABLE)
