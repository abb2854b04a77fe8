"""One POST over a connection of aiohttp's pool, and as little else as HTTP allows.

aiohttp's connector makes the connections (TLS, happy eyeballs, limits, keep-alive) and its C parser reads the answer, exactly
as its ClientSession would drive them. What the session adds to each request (cookies, redirects, proxies, tracing, form
encoding) must all be off for a callback and is half of its CPU: 60 µs with the session, 30 µs without (bench/callbacks.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
from aiohttp.connector import Connection
from aiohttp.helpers import TimerNoop
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from yarl import URL

from connectors.callbacks.resolve import split_url
from schemas.errors import InvalidInput

USER_AGENT = "sluice-callbacks/1"
CONNECT_S = 5.0
#: How long the rest of an answer is waited for once its status is known.
BODY_S = 1.0
#: How much of an unhappy answer is kept for the operator.
ERROR_HEAD = 1024
#: Answers longer than this are cut off, and their connection with them: a callback's answer is a receipt, not a download.
MAX_ANSWER = 65536

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_NO_TIMER = TimerNoop()

#: What a try over the wire may fail with, beside TimeoutError.
WIRE_ERRORS = (aiohttp.ClientError, HttpProcessingError, OSError)


@dataclass(frozen=True, slots=True)
class Target:
    """What is worked out once for a URL: which connection it needs, and the lines every request to it begins with."""

    connection: aiohttp.ClientRequest
    lines: bytes


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """`head` is the beginning of the body, for answers that are not 2xx."""

    status: int
    retry_after: str | None
    head: bytes


def target_of(url: str) -> Target:
    """Raises InvalidInput for a host that no resolver would take."""
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
    connector: aiohttp.TCPConnector, target: Target, headers: Mapping[str, str], body: bytes, timeout_s: float
) -> HttpResponse:
    """`timeout_s` is for the answer's status. Raises TimeoutError and WIRE_ERRORS; what the guard raises passes through."""
    request = b"".join((target.lines, _header_lines(headers, len(body)), body))
    async with asyncio.timeout(timeout_s):
        connection = await _connect(connector, target)
        try:
            message, content = await _exchange(connection, request)
        except BaseException:
            connection.close()
            raise
    try:
        head = await _receipt(message.code, content)
    finally:
        # Keeps the connection if the answer came to its end, closes it if not.
        connection.release()
    return HttpResponse(message.code, message.headers.get("Retry-After"), head)


async def _connect(connector: aiohttp.TCPConnector, target: Target) -> Connection:
    try:
        return await connector.connect(target.connection, [], _CONNECT_TIMEOUT)
    except TimeoutError as error:
        raise aiohttp.ClientConnectionError(f"no connection within {CONNECT_S:g} s") from error


async def _exchange(connection: Connection, request: bytes) -> tuple[RawResponseMessage, StreamReader]:
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None:
        raise aiohttp.ServerDisconnectedError
    protocol.set_response_params(timer=_NO_TIMER, read_until_eof=True, auto_decompress=False)
    transport.write(request)
    message, content = await protocol.read()
    while 100 <= message.code < 200 and message.code != 101:
        message, content = await protocol.read()
    return message, content


async def _receipt(status: int, content: StreamReader) -> bytes:
    """The beginning of an unhappy answer's body. The status is all that counts, so a body that breaks off, crawls or never
    ends costs the connection and nothing else."""
    happy = 200 <= status < 300
    if happy and content.is_eof():
        return b""
    data = b""
    with contextlib.suppress(TimeoutError, *WIRE_ERRORS):
        async with asyncio.timeout(BODY_S):
            while not content.at_eof() and len(data) < MAX_ANSWER:
                data += await content.read(MAX_ANSWER - len(data))
    return b"" if happy else data[:ERROR_HEAD]


def _header_lines(headers: Mapping[str, str], length: int) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in headers.items() if _checked(value)]
    lines.append(f"Content-Length: {length}\r\n\r\n")
    return "".join(lines).encode("ascii")


def _checked(value: str) -> bool:
    if _HEADER_VALUE.fullmatch(value) is None:
        raise InvalidInput("A callback's header contains a control character or a character outside ASCII.")
    return True


def _request_target(rest: str) -> str:
    """Path and query byte for byte; only what is not ASCII must be escaped."""
    path = rest.partition("#")[0]
    path = path if path.startswith("/") else "/" + path
    return path if path.isascii() else quote(path, safe=_PRINTABLE)


_CONNECT_TIMEOUT = aiohttp.ClientTimeout(sock_connect=CONNECT_S)
