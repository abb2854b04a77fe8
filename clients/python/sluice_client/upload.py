"""Uploads a file: a small one in one request, a large one in parts by tus 1.0, which go on where they were cut off."""

from __future__ import annotations

import hashlib
import io
import json
import mimetypes
import os
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sluice_client.context import Context, origin_of, segment
from sluice_client.errors import Conflict, NotFound, SluiceError, UnexpectedAnswer, error_of
from sluice_client.exchange import Attempts, exchange, may_pass, once, unreachable
from sluice_client.http import BLOCK, opened
from sluice_client.models import Upload
from sluice_client.parse import record_of
from sluice_client.wire import Blocking, Broken, FileSlice, OpenFile, Operation, Sleep

_TUS = {"tus-resumable": "1.0.0"}


@dataclass(frozen=True, slots=True)
class UploadFacts:
    """Facts about a file that only its uploader knows."""

    kind: str | None
    case_id: str | None
    labels: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Source:
    """The file to upload, and what is said about it."""

    file: Path | OpenFile
    size: int
    sha256: str
    filename: str
    content_type: str
    about: UploadFacts

    @classmethod
    def of(cls, file: Path | OpenFile, about: UploadFacts, filename: str | None, content_type: str | None) -> Source:
        """Read the file once for its hash. Raises OSError."""
        digest, size = hashlib.sha256(), 0
        with opened(file) as stream:
            stream.seek(0)
            while block := stream.read(BLOCK):
                digest.update(block)
                size += len(block)
        name = filename or os.path.basename(str(getattr(file, "name", "")))
        type_ = content_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return cls(file, size, digest.hexdigest(), name, type_, about)

    def rest(self, offset: int, longest: int) -> FileSlice:
        return FileSlice(self.file, offset, min(self.size - offset, longest))

    def metadata(self) -> dict[str, str]:
        """Return what tus calls Upload-Metadata."""
        values = {
            "filename": self.filename,
            "filetype": self.content_type,
            "kind": self.about.kind,
            "case_id": self.about.case_id,
            "labels": json.dumps(dict(self.about.labels), sort_keys=True) if self.about.labels else None,
            "sha256": self.sha256,
        }
        return {name: value for name, value in values.items() if value}


class Memory:
    """The file that remembers an upload between processes: its address, and the source it belongs to. `path` None: none."""

    def __init__(self, path: Path | None, source: Source) -> None:
        self._path = path
        self._about = {**source.metadata(), "size": source.size}

    def address(self) -> str | None:
        """Return the address of the unfinished upload of this very source."""
        if self._path is None or not self._path.exists():
            return None
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            return str(kept["address"]) if kept["source"] == self._about else None
        except (ValueError, KeyError, TypeError):  # cut off while it was written
            return None

    def keep(self, address: str) -> None:
        if self._path is not None:
            self._path.write_text(json.dumps({"address": address, "source": self._about}), encoding="utf-8")

    def forget(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def source_of(file: str | os.PathLike[str] | bytes | OpenFile) -> Path | OpenFile:
    """Return a file that can be read from any place."""
    if isinstance(file, bytes):
        return io.BytesIO(file)
    return Path(file) if isinstance(file, str | os.PathLike) else file


def upload(
    context: Context,
    file: Path | OpenFile,
    about: UploadFacts,
    filename: str | None,
    content_type: str | None,
    resume: Path | None,
) -> Operation[Upload]:
    source: Source = yield Blocking(partial(Source.of, file, about, filename, content_type))
    if source.size < context.limits.parts_from and resume is None:
        return (yield from _whole(context, source))
    memory = Memory(resume, source)
    address = yield from _address(context, source, memory)
    yield from _send_parts(context, source, address)
    upload_id = address.rstrip("/").rpartition("/")[2]
    answer = yield from exchange(context, context.request("GET", f"/v1/uploads/{segment(upload_id)}"))
    yield Blocking(memory.forget)
    return record_of(Upload, answer)


def _whole(context: Context, source: Source) -> Operation[Upload]:
    """Send the file in one request. It is not sent again after a break in the middle, because that could store it twice."""
    about = source.about
    request = context.request(
        "POST",
        "/v1/uploads",
        {
            "filename": source.filename or None,
            "kind": about.kind,
            "case_id": about.case_id,
            "label": [f"{name}={text}" for name, text in (about.labels or {}).items()] or None,
        },
        source.rest(0, source.size),
        {"content-type": source.content_type, "content-digest": f"sha-256=:{_base64(source)}:"},
        repeatable=False,
    )
    answer = yield from exchange(context, request)
    return record_of(Upload, answer)


def _address(context: Context, source: Source, memory: Memory) -> Operation[str]:
    """Return the address of the upload: the one that was begun earlier, if the gateway still has it, else a new one."""
    kept = yield Blocking(memory.address)
    if kept is not None and origin_of(kept) == origin_of(context.url):
        try:
            yield from exchange(context, context.request("HEAD", kept, headers=_TUS))
            return str(kept)
        except NotFound:  # expired
            pass
    pairs = [f"{name} {b64encode(value.encode()).decode()}" for name, value in source.metadata().items()]
    # Sent again after a break, it may make two uploads; the one without bytes expires and has no effect.
    request = context.request(
        "POST",
        "/v1/uploads/tus",
        headers={**_TUS, "upload-length": str(source.size), "upload-metadata": ",".join(pairs)},
    )
    answer = yield from exchange(context, request)
    location = answer.headers.get("location")
    if not location:
        raise UnexpectedAnswer("The gateway has made an upload without an address (Location).")
    address = context.request("HEAD", location).url
    yield Blocking(partial(memory.keep, address))
    return address


def _send_parts(context: Context, source: Source, address: str) -> Operation[None]:
    """Send what the gateway does not have yet, until it has all. Raises as `exchange`."""
    attempts = Attempts(context)
    offset = yield from _offset(context, address)
    while offset < source.size:
        part = source.rest(offset, context.limits.part)
        error = yield from _send_part(context, part, address)
        if error is None:
            attempts, offset = Attempts(context), offset + part.length
            continue
        arrived = yield from _offset(context, address)
        if arrived > offset:  # it got on, so neither the failures nor the time before count
            attempts, offset = Attempts(context), arrived
        delay = attempts.next_delay(getattr(error, "retry_after_s", None))
        if delay is None:
            raise error
        yield Sleep(delay)


def _send_part(context: Context, part: FileSlice, address: str) -> Operation[SluiceError | None]:
    """Send one part; return the error if it may pass. Raises an error that does not."""
    headers = {**_TUS, "upload-offset": str(part.offset), "content-type": "application/offset+octet-stream"}
    try:
        answer = yield from once(context, context.request("PATCH", address, content=part, headers=headers))
    except Broken as broken:
        return unreachable(broken)
    if answer.status < 300:
        return None
    error = error_of(answer)
    if may_pass(answer.status, error) or isinstance(error, Conflict):  # Conflict: another offset than the gateway's
        return error
    raise error


def _offset(context: Context, address: str) -> Operation[int]:
    """Return how many bytes the gateway has."""
    answer = yield from exchange(context, context.request("HEAD", address, headers=_TUS))
    text = answer.headers.get("upload-offset", "")
    if not (text.isascii() and text.isdigit()):
        raise UnexpectedAnswer("The gateway does not say how much of the upload it has (Upload-Offset).")
    return int(text)


def _base64(source: Source) -> str:
    return b64encode(bytes.fromhex(source.sha256)).decode()
