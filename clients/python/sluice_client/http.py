"""Parts of both shells: requests, time limits and errors of httpx."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import httpx

from sluice_client.context import Limits
from sluice_client.errors import UsageError
from sluice_client.wire import Answer, Broken, FileSlice, OpenFile, Request

#: Bytes of a file that are read at once while it is sent.
BLOCK = 1 << 20


def arguments(request: Request, limits: Limits) -> dict[str, Any]:
    """Return the arguments of `build_request`, without the body."""
    headers = dict(request.headers)
    if isinstance(request.content, FileSlice):
        headers["content-length"] = str(request.content.length)
    timeout = httpx.Timeout(
        connect=limits.connect_s, read=request.read_s, write=limits.write_s, pool=limits.connect_s + request.read_s
    )
    return {"method": request.method, "url": request.url, "headers": headers, "timeout": timeout}


def head_of(response: httpx.Response) -> Answer:
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()})


def broken_by(error: httpx.TransportError) -> Broken:
    """Return the broken connection that an error of httpx stands for. Raises UsageError for a request that can't be sent."""
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        raise UsageError(f"The request can't be sent ({type(error).__name__}).") from error
    not_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError)
    broken = Broken(type(error).__name__, not not_sent)
    broken.__cause__ = error
    return broken


def blocks_of(part: FileSlice) -> Iterator[bytes]:
    """Yield the bytes of a part of a file. Raises OSError if the file has become shorter."""
    with opened(part.file) as file:
        file.seek(part.offset)
        left = part.length
        while left:
            block = file.read(min(BLOCK, left))
            if not block:
                raise OSError("The file has become shorter while it was sent.")
            left -= len(block)
            yield block


def opened(file: Path | OpenFile) -> AbstractContextManager[OpenFile]:
    """Return a file to read within a block; one that was given open stays open."""
    return open(file, "rb") if isinstance(file, Path) else nullcontext(file)
