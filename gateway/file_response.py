"""Answers with the bytes of a stored file: whole or a range of it (RFC 9110), in flat memory."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from connectors.claim_store import ClaimStore
from gateway.problems import Problem
from schemas.records import Claim

_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(;[\x20-\x7e]{0,200})?")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_PLAIN_NAME = re.compile(r"[^A-Za-z0-9._-]")


class Part(NamedTuple):
    """Bytes from `start` to before `stop`. `partial`: a range was asked for."""

    start: int
    stop: int
    partial: bool


async def file_response(request: Request, store: ClaimStore, claim: Claim, name: str) -> Response:
    """Return the response for a stored file. Raises Problem, and what `ClaimStore.read` raises at its first step."""
    etag = f'"{claim.sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": disposition(name),
    }
    if etag in (request.headers.get("if-none-match") or ""):
        return Response(status_code=304, headers=headers)
    part = _part(request, etag, claim.size)
    headers["Content-Length"] = str(part.stop - part.start)
    if part.partial:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{claim.size}"
    kind = claim.content_type if _TYPE.fullmatch(claim.content_type) else "application/octet-stream"
    status = 206 if part.partial else 200
    chunks = store.read(claim, part.start, part.stop)
    first = await run_in_threadpool(next, chunks, None)  # so that a missing object is an error, not a broken response
    if request.method == "HEAD" or first is None:
        return Response(status_code=status, headers=headers, media_type=kind)
    return StreamingResponse(_rest(first, chunks), status, headers, kind)


async def _rest(first: bytes, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in iterate_in_threadpool(chunks):
        yield chunk


def disposition(name: str) -> str:
    """Return a Content-Disposition that saves the file under a name. The plain name is for clients without RFC 6266."""
    plain = _PLAIN_NAME.sub("_", name) or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _part(request: Request, etag: str, size: int) -> Part:
    """Return the part that the request asks for. Several ranges, and one for another content, get the whole file."""
    whole = Part(0, size, False)
    asked = _RANGE.fullmatch((request.headers.get("range") or "").replace(" ", ""))
    if asked is None or asked.group(0) == "bytes=-" or request.headers.get("if-range", etag) != etag:
        return whole
    first, last = asked.groups()
    if first:
        start, stop = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < int(first):
            return whole
    else:
        start, stop = max(0, size - int(last)), size
    if start >= stop:
        raise Problem(
            416,
            "RANGE_NOT_SATISFIABLE",
            f"The file has {size} bytes; the range begins beyond them.",
            next_step="Ask for a range within the file, or for all of it.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return Part(start, stop, True)
