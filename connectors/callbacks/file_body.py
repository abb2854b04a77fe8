"""Bodies that contain files: sent piece by piece from disk, so that a notifier's memory does not grow with them.

A file is fetched whole and checked against its claim before anything is sent: the receiver gets all of it or no request.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, TypeVar

from connectors.callbacks.template import FileContent
from schemas.errors import InvalidInput
from schemas.records import Claim

T = TypeVar("T")

#: Bytes of a file that are read at once; a multiple of three, so that pieces of base64 fit together.
CHUNK = 3 * 65536


@dataclass(frozen=True, slots=True)
class FileSegment:
    """The content of a file at this place of a body. `encoded`: in base64."""

    claim: Claim
    encoded: bool


Segment = bytes | FileSegment


class FileBody:
    """`segments`: the body in its order. `files`: an open file for each FileSegment, which `close` closes."""

    def __init__(self, segments: Sequence[Segment], files: Sequence[BufferedReader], threads: Executor) -> None:
        self._segments = segments
        self._files = files
        self._threads = threads
        sizes = iter([os.fstat(file.fileno()).st_size for file in files])
        self._length = sum(
            len(one) if isinstance(one, bytes) else _encoded_size(next(sizes), one.encoded) for one in segments
        )

    def __len__(self) -> int:
        return self._length

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body piece by piece; files are read on another thread."""
        chunks = self._chunks()
        while (chunk := await self._call(lambda: next(chunks, None))) is not None:
            yield chunk

    async def read_by(self, read: Callable[[Iterable[bytes]], T]) -> T:
        """Return what `read` makes of the body's pieces, on another thread."""
        return await self._call(lambda: read(self._chunks()))

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _chunks(self) -> Iterator[bytes]:
        files = iter(self._files)
        for segment in self._segments:
            if isinstance(segment, bytes):
                yield segment
                continue
            file = next(files)
            file.seek(0)
            while piece := file.read(CHUNK):
                yield base64.b64encode(piece) if segment.encoded else piece

    async def _call(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def claims_of(segments: Iterable[Segment]) -> list[Claim]:
    return [one.claim for one in segments if isinstance(one, FileSegment)]


def json_segments(value: Any) -> list[Segment]:
    """Encode a rendered template as JSON; files take the place of their names' values. Raises InvalidInput."""
    files: list[FileSegment] = []
    mark = ""

    def stand_in(one: Any) -> str:
        nonlocal mark
        if not isinstance(one, FileContent):
            raise TypeError(f"{type(one).__name__} has no JSON form")
        files.append(FileSegment(one.claim, encoded=True))
        mark = mark or f"sluice-file-{uuid.uuid4().hex}"
        return mark

    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=stand_in)
    try:
        text = encoder.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"The callback body can't be written as JSON: {type(error).__name__}.") from error
    encoded = text.encode("utf-8", "replace")
    pieces = encoded.split(mark.encode()) if files else [encoded]
    segments: list[Segment] = [pieces[0]]
    for file, piece in zip(files, pieces[1:], strict=True):
        segments += [file, piece]
    return segments


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a multipart body. `filename`: None for a field that is no file."""

    name: str
    content: Sequence[Segment]
    content_type: str
    filename: str | None = None


def multipart_segments(fields: Iterable[FormField]) -> tuple[list[Segment], str]:
    """Return a multipart/form-data body (RFC 7578) and its content type. The boundary can't be guessed by who made a file."""
    boundary = f"sluice-{uuid.uuid4().hex}"
    segments: list[Segment] = []
    for field in fields:
        file = "" if field.filename is None else f'; filename="{_quoted(field.filename)}"'
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(field.name)}"{file}\r\n'
            f"Content-Type: {_media_type(field.content_type)}\r\n\r\n"
        )
        segments += [head.encode(), *field.content, b"\r\n"]
    segments.append(f"--{boundary}--\r\n".encode())
    return segments, f"multipart/form-data; boundary={boundary}"


def _quoted(name: str) -> str:
    """Escape a name as browsers do (HTML, multipart/form-data encoding)."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _media_type(text: str) -> str:
    return text if text.isascii() and text.isprintable() else "application/octet-stream"


def _encoded_size(size: int, encoded: bool) -> int:
    return 4 * math.ceil(size / 3) if encoded else size
