"""Uploads in pieces by tus 1.0 (https://tus.io/protocols/resumable-upload).

A piece is durable once its bytes are a named object in the object store and a row says where it belongs: any gateway can go on
with the upload, also after this one was killed. `Upload-Offset` never counts bytes that are not durable.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from connectors.upload_store import TUS, PartialUpload, UploadPart
from gateway.ports import P
from gateway.principal import CanUpload
from gateway.problems import Problem
from gateway.tus_headers import ALGORITHMS, bad, checksum_of, elsewhere, http_date, metadata_of, number
from gateway.upload_service import UploadService, check_length, unknown
from gateway.uploads import UploadId, content_type, found
from schemas.ids import new_id
from schemas.records import Upload

PATH = "/v1/uploads/tus"
VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination"
PIECE_TYPE = "application/offset+octet-stream"
#: Bytes of a stored piece, but for the last one of a request: a request holds one of them in memory.
PIECE = 8 << 20


async def _resumable(request: Request, response: Response) -> None:
    """Name the version in every answer; refuse another one. Raises Problem 412."""
    response.headers["Tus-Resumable"] = VERSION
    if request.method != "OPTIONS" and request.headers.get("tus-resumable") != VERSION:
        raise Problem(
            412,
            "PRECONDITION_FAILED",
            "The request lacks `Tus-Resumable: 1.0.0`.",
            next_step="Use a client for tus 1.0.",
            headers={"Tus-Resumable": VERSION, "Tus-Version": VERSION},
        )


#: Not in the OpenAPI document: the protocol is described at tus.io, and its clients know it.
router = APIRouter(prefix=PATH, dependencies=[Depends(_resumable)], include_in_schema=False)


@router.options("", status_code=204)
async def options(ports: P, response: Response) -> None:
    """Name the version, the extensions and the limit."""
    response.headers["Tus-Version"] = VERSION
    response.headers["Tus-Extension"] = EXTENSIONS
    response.headers["Tus-Checksum-Algorithm"] = ",".join(ALGORITHMS)
    response.headers["Tus-Max-Size"] = str(ports.settings.upload_max_bytes)


@router.post("", status_code=201)
async def create(request: Request, response: Response, ports: P, principal: CanUpload) -> None:
    """Begin an upload; a body is its first piece. Upload-Metadata: filename, filetype, kind, case_id, labels, sha256."""
    service, headers = ports.uploads, request.headers
    length = number(headers.get("upload-length"), "Upload-Length")
    if (length is None) == (headers.get("upload-defer-length") != "1"):
        raise bad("Send Upload-Length, or `Upload-Defer-Length: 1`.")
    check_length(length, service.settings.upload_max_bytes)
    text = headers.get("upload-metadata", "")
    about = metadata_of(text)
    begun = PartialUpload(
        new_id(),
        principal.tenant,
        TUS,
        length,
        about.sha256,
        content_type(about.filetype),
        about.filename,
        about.kind,
        about.case_id,
        text,
        labels=about.labels,
    )
    partial = await service.store.call(lambda store: store.begin(begun, service.lifetime_s))
    if headers.get("content-type") == PIECE_TYPE:
        partial = await Pieces(service, partial, checksum_of(headers.get("upload-checksum"))).append(request)
    response.headers["Location"] = f"{PATH}/{partial.upload_id}"
    await _answer(response, service, partial)


@router.head("/{upload_id}")
async def head(response: Response, ports: P, principal: CanUpload, upload_id: UploadId) -> None:
    """Tell how many bytes are stored. An upload whose bytes are all there is accepted now, if it was not before."""
    response.headers["Cache-Control"] = "no-store"
    partial = await found(ports, principal.tenant, upload_id, TUS)
    if isinstance(partial, Upload):
        response.headers["Upload-Offset"] = response.headers["Upload-Length"] = str(partial.claim.size)
        return
    if partial.metadata:
        response.headers["Upload-Metadata"] = partial.metadata
    await _answer(response, ports.uploads, partial)


@router.patch("/{upload_id}", status_code=204)
async def patch(request: Request, response: Response, ports: P, principal: CanUpload, upload_id: UploadId) -> None:
    """Append a piece at Upload-Offset. The last one accepts the upload, or refuses it with 422."""
    service, headers = ports.uploads, request.headers
    if headers.get("content-type") != PIECE_TYPE:
        raise Problem(415, "UNSUPPORTED_MEDIA_TYPE", f"The content type of a piece is {PIECE_TYPE}.")
    offset = number(headers.get("upload-offset"), "Upload-Offset")
    if offset is None:
        raise bad("Upload-Offset is missing.")
    partial = await found(ports, principal.tenant, upload_id, TUS)
    if isinstance(partial, Upload):
        if offset != partial.claim.size:
            raise elsewhere(partial.claim.size)
        response.headers["Upload-Offset"] = str(offset)
        return
    if offset != partial.received:
        raise elsewhere(partial.received)
    partial = await _with_length(service, partial, number(headers.get("upload-length"), "Upload-Length"))
    partial = await Pieces(service, partial, checksum_of(headers.get("upload-checksum"))).append(request)
    await _answer(response, service, partial)


@router.delete("/{upload_id}", status_code=204)
async def terminate(ports: P, principal: CanUpload, upload_id: UploadId) -> None:
    """Give up an upload that has not ended, and delete its pieces."""
    if isinstance(await found(ports, principal.tenant, upload_id, TUS), Upload):
        raise unknown()
    await ports.uploads.discard(upload_id)


@dataclass(slots=True)
class Pieces:
    """The body of one request as pieces of an upload."""

    service: UploadService
    partial: PartialUpload
    checksum: tuple[Any, bytes] | None
    #: Pieces that are stored and wait for the checksum of them all.
    waiting: list[UploadPart] = field(default_factory=list)

    async def append(self, request: Request) -> PartialUpload:
        """Append the body. A connection that breaks keeps what has come, unless a checksum is to be compared."""
        try:
            await self._read(request)
        except Exception:
            await self._forget(self.waiting)
            raise
        await self._compare()
        return self.partial

    async def _read(self, request: Request) -> None:
        buffer = bytearray()
        try:
            async for chunk in request.stream():
                buffer += chunk
                self._check_length(len(buffer))
                if len(buffer) >= PIECE:
                    await self._store(bytes(buffer))
                    buffer.clear()
        except ClientDisconnect:
            if self.checksum is None and buffer:
                await self._store(bytes(buffer))
            raise bad("The connection was closed before the whole piece had come.") from None
        except HTTPException:  # the connection is silent
            if self.checksum is None and buffer:
                await self._store(bytes(buffer))
            raise
        if buffer:
            await self._store(bytes(buffer))

    async def _store(self, data: bytes) -> None:
        start = self.partial.received + sum(part.size for part in self.waiting)
        # A name of its own: a request that lost against another one must not replace the other's bytes.
        part = UploadPart(start, len(data), f"uploads/{self.partial.upload_id}/{start}-{uuid.uuid4()}")
        if self.checksum is not None:
            self.checksum[0].update(data)
        await self.service.run(lambda: self.service.objects.put_named(part.name, data))
        if self.checksum is None:
            await self._add(part)
        else:
            self.waiting.append(part)

    async def _add(self, part: UploadPart) -> None:
        service, upload_id = self.service, self.partial.upload_id
        longer = await service.store.call(lambda store: store.add_part(upload_id, part, service.lifetime_s))
        if longer is None:
            await self._forget([part])
            raise Problem(
                409,
                "CONFLICT",
                "Another request has appended to this upload meanwhile, or it has ended.",
                next_step="Ask for the offset with HEAD, and go on from there.",
            )
        self.partial = longer

    async def _compare(self) -> None:
        """Append what waits, if the bytes have the checksum. Raises Problem 460."""
        if self.checksum is None:
            return
        waiting, self.waiting = self.waiting, []
        if self.checksum[0].digest() != self.checksum[1]:
            await self._forget(waiting)
            raise Problem(
                460, "CHECKSUM_MISMATCH", "The piece does not have its checksum.", next_step="Send the piece again."
            )
        for part in waiting:
            await self._add(part)

    def _check_length(self, more: int) -> None:
        end = self.partial.received + sum(part.size for part in self.waiting) + more
        check_length(end, self.service.settings.upload_max_bytes)
        if self.partial.length is not None and end > self.partial.length:
            raise Problem(413, "PAYLOAD_TOO_LARGE", "The upload has more bytes than its Upload-Length.")

    async def _forget(self, parts: Iterable[UploadPart]) -> None:
        await self.service.delete_parts([part.name for part in parts])


async def _with_length(service: UploadService, partial: PartialUpload, length: int | None) -> PartialUpload:
    """Return the upload with the length that the request states, if it does. Raises Problem 409, PayloadTooLarge."""
    if length is None:
        return partial
    check_length(length, service.settings.upload_max_bytes)
    if not await service.store.call(lambda store: store.set_length(partial.upload_id, length)):
        raise Problem(409, "CONFLICT", "The upload has another length.")
    again = await service.store.call(lambda store: store.partial(partial.tenant, partial.upload_id))
    return again or partial


async def _answer(response: Response, service: UploadService, partial: PartialUpload) -> None:
    """Set the headers that every answer has; accept the upload if its bytes are all there."""
    response.headers["Upload-Offset"] = str(partial.received)
    if partial.length is None:
        response.headers["Upload-Defer-Length"] = "1"
    else:
        response.headers["Upload-Length"] = str(partial.length)
    if partial.length == partial.received:
        await service.finish(partial)
    elif partial.expires_at is not None:
        response.headers["Upload-Expires"] = http_date(partial.expires_at)
