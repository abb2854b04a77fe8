"""Sends one POST over a connection of aiohttp's pool, without aiohttp's ClientSession.

aiohttp's connector makes the connections (TLS, happy eyeballs, limits, keep-alive) and its C parser reads the response, as
ClientSession would use them. The session's own features (cookies, redirects, proxies, tracing, form encoding) must all be
off for a callback, and cost half of its CPU: 60 µs with the session, 30 µs without (bench/callbacks.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.helpers import TimerNoop
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from yarl import URL

from connectors.callbacks.file_body import FileBody
from connectors.callbacks.resolve import split_url
from schemas.errors import InvalidInput

USER_AGENT = "sluice-callbacks/1"
CONNECT_S = 5.0
#: Seconds to wait for the rest of a response after its status is known.
BODY_S = 1.0
#: Bytes of a failed response's body that are kept for the operator.
ERROR_HEAD = 1024
#: Bytes after which a response is cut off and its connection closed: the response to a callback is only a receipt.
MAX_ANSWER = 65536
#: Responses such as 100 Continue that may come before the final one.
INTERIM = 10

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_NO_TIMER = TimerNoop()

#: Errors of a try on the network, besides TimeoutError.
WIRE_ERRORS = (aiohttp.ClientError, HttpProcessingError, OSError)


@dataclass(frozen=True, slots=True)
class Target:
    """Prepared once per URL: the connection that it needs and the first lines of every request to it."""

    connection: aiohttp.ClientRequest
    lines: bytes


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """Response to a POST. `head`: beginning of the body, unless the status is 2xx."""

    status: int
    retry_after: str | None
    head: bytes


def target_of(url: str) -> Target:
    """Prepare a URL. Raises InvalidInput for a host that no resolver accepts."""
    scheme, authority, rest = split_url(url)
    try:
        origin = URL(f"{scheme}://{authority}/")
        connection = aiohttp.ClientRequest("POST", origin, loop=asyncio.get_running_loop())
    except ValueError as error:
        raise InvalidInput(f"The callback URL's host can't be used: {error}.") from error
    host = origin.host_port_subcomponent
    lines = f"POST {_request_target(rest)} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n"
    return Target(connection, lines.encode("ascii"))


async def post(
    connector: aiohttp.TCPConnector,
    target: Target,
    headers: Mapping[str, str],
    body: bytes | FileBody,
    timeout_s: float,
) -> HttpResponse:
    """Send and return the response. `timeout_s` covers everything up to its status. Raises TimeoutError, WIRE_ERRORS and the
    errors of the guard."""
    files = None if isinstance(body, bytes) else body
    request = b"".join((target.lines, _header_lines(headers, len(body)), body if isinstance(body, bytes) else b""))
    async with asyncio.timeout(timeout_s) as limit:
        connection = await _connect(connector, target)
        try:
            if asyncio.get_running_loop().time() > (limit.when() or 0.0):  # this process was stopped meanwhile
                raise TimeoutError
            message, content = await _exchange(connection, request, files)
        except BaseException:
            connection.close()
            raise
    try:
        head = await _error_head(message.code, content)
    finally:
        # Keeps the connection if the response was read to its end, else closes it.
        connection.release()
    return HttpResponse(message.code, message.headers.get("Retry-After"), head)


async def _connect(connector: aiohttp.TCPConnector, target: Target) -> Connection:
    try:
        return await connector.connect(target.connection, [], _CONNECT_TIMEOUT)
    except TimeoutError as error:
        raise aiohttp.ClientConnectionError(f"no connection within {CONNECT_S:g} s") from error


async def _exchange(
    connection: Connection, request: bytes, files: FileBody | None
) -> tuple[RawResponseMessage, StreamReader]:
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None:
        raise aiohttp.ServerDisconnectedError
    protocol.set_response_params(timer=_NO_TIMER, read_until_eof=True, auto_decompress=False)
    transport.write(request)
    if files is not None:
        await _send_files(protocol, transport, files)
    for _ in range(INTERIM + 1):
        message, content = await protocol.read()
        if not 100 <= message.code < 200 or message.code == 101:
            return message, content
    raise aiohttp.ClientPayloadError(f"more than {INTERIM} interim responses")


async def _send_files(protocol: ResponseHandler, transport: asyncio.Transport, files: FileBody) -> None:
    """Send the body piece by piece, no faster than the connection takes it. A backend that refuses it early has answered, and
    its answer is read next."""
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        async for chunk in files.stream():
            if transport.is_closing():
                return
            transport.write(chunk)
            await protocol._drain_helper()


async def _error_head(status: int, content: StreamReader) -> bytes:
    """Read a response and return the beginning of a failed one's body. Only the status counts, so a body that breaks off, is
    slow or never ends costs no more than the connection."""
    succeeded = 200 <= status < 300
    if succeeded and content.is_eof():
        return b""
    data = b""
    with contextlib.suppress(TimeoutError, *WIRE_ERRORS):
        async with asyncio.timeout(BODY_S):
            while not content.at_eof() and len(data) < MAX_ANSWER:
                data += await content.read(MAX_ANSWER - len(data))
    return b"" if succeeded else data[:ERROR_HEAD]


def _header_lines(headers: Mapping[str, str], length: int) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in headers.items() if _checked(value)]
    lines.append(f"Content-Length: {length}\r\n\r\n")
    return "".join(lines).encode("ascii")


def _checked(value: str) -> bool:
    if _HEADER_VALUE.fullmatch(value) is None:
        raise InvalidInput("A callback's header contains a control character or a character outside ASCII.")
    return True


def _request_target(rest: str) -> str:
    """Return path and query unchanged; only characters outside ASCII are escaped."""
    path = rest.partition("#")[0]
    path = path if path.startswith("/") else "/" + path
    return path if path.isascii() else quote(path, safe=_PRINTABLE)


_CONNECT_TIMEOUT = aiohttp.ClientTimeout(sock_connect=CONNECT_S)
