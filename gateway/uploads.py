"""Uploads: in one request, or presigned for the object store. In pieces: `uploads_tus.py`."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field, StrictInt
from starlette.requests import ClientDisconnect

from connectors.upload_store import PRESIGNED, TUS, PartialUpload, UploadStore
from gateway.openapi import problems
from gateway.ports import P, Ports
from gateway.principal import CanReadUpload, CanUpload
from gateway.problems import Problem
from gateway.upload_service import About, check_length, unknown
from schemas.errors import InvalidInput
from schemas.ids import is_job_id, new_id
from schemas.records import Upload
from streams.client.job_options import LONGEST_ID, LONGEST_LABEL, MOST_LABELS

router = APIRouter(prefix="/v1/uploads", tags=["Uploads"])

UploadId = Annotated[str, Path(description="The upload's id.", examples=["019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10"])]
#: Texts that Postgres and Avro can hold.
TEXT = r"^[^\x00]*$"
Text = Annotated[str, Field(max_length=1024, pattern=TEXT)]
Kind = Annotated[str, Field(max_length=128, pattern=TEXT)]
Case = Annotated[str, Field(min_length=1, max_length=512, pattern=TEXT)]
#: A label in a query: `name=text`.
Label = Annotated[str, Field(pattern=rf"^[^=\x00]{{1,{LONGEST_ID}}}=[^\x00]{{0,{LONGEST_LABEL}}}$")]
Labels = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=LONGEST_ID, pattern=TEXT)],
        Annotated[str, Field(max_length=LONGEST_LABEL, pattern=TEXT)],
    ],
    Field(max_length=MOST_LABELS),
]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(;[\x20-\x7e]{0,200})?")
#: Seconds for which a presigned url may be used.
PRESIGNED_S = 3600.0


class ClaimBody(BaseModel):
    """A claim check: put it into the field of a job's input that takes a file."""

    uri: str
    sha256: str
    size: int
    content_type: str


class UploadBody(BaseModel):
    """An accepted upload."""

    upload_id: str
    claim: ClaimBody
    filename: str
    kind: str
    case_id: str | None
    labels: dict[str, str]
    created_at: datetime


class PresignedRequest(BaseModel):
    """`size`: of the file; the limit is the gateway's. `sha256`: checked when the upload is completed."""

    size: StrictInt = Field(ge=0, le=2**62, examples=[1_048_576])
    sha256: Sha256 | None = None
    content_type: str = Field("application/octet-stream", max_length=255)
    filename: Text = ""
    kind: Kind = ""
    case_id: Case | None = None
    labels: Labels = Field(default_factory=dict, examples=[{"ocs_status": "CONFIRMED"}])


class PresignedBody(BaseModel):
    """Send the bytes to `url` by `method` with `headers`, then POST to `complete`."""

    upload_id: str
    method: str
    url: str
    headers: dict[str, str]
    complete: str
    expires_in_s: int


@router.post(
    "",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload(
    request: Request,
    response: Response,
    ports: P,
    principal: CanUpload,
    filename: Annotated[Text, Query(description="Name of the file, for people.")] = "",
    kind: Annotated[Kind, Query(description="Type of the content, free text: mr-volume, …")] = "",
    case_id: Annotated[Case | None, Query(description="The case that the file belongs to.")] = None,
    label: Annotated[
        list[Label] | None,
        Query(description="A label, as `name=text`; repeatable. Routing rules can ask for it.", max_length=MOST_LABELS),
    ] = None,
    content_digest: Annotated[
        str | None, Header(description="RFC 9530: `sha-256=:…:`. Other bytes are refused.", max_length=1024)
    ] = None,
) -> UploadBody:
    """Upload a file in one request: the body is its bytes. Accepted means: stored, and known by its row.

    The claim in the answer is what a job's input takes. The same bytes are stored once.
    """
    service = ports.uploads
    check_length(_length(request), service.settings.upload_max_bytes)
    about = About(
        principal.tenant,
        content_type(request.headers.get("content-type", "")),
        filename,
        kind,
        case_id,
        digest(content_digest),
        {name: text for name, _, text in (each.partition("=") for each in label or ())},
    )
    try:
        made = await service.receive(request.stream(), about)
    except ClientDisconnect:
        raise Problem(400, "BAD_REQUEST", "The connection was closed before all bytes had come.") from None
    response.headers["Location"] = f"/v1/uploads/{made.upload_id}"
    return body_of(made)


@router.post("/presigned", status_code=201, responses=problems(409))
async def presigned(ports: P, principal: CanUpload, wanted: PresignedRequest) -> PresignedBody:
    """Begin an upload that goes straight to the object store (S3, Google Cloud Storage, Azure). 409 for any other store."""
    service, upload_id = ports.uploads, new_id()
    check_length(wanted.size, service.settings.upload_max_bytes)
    url = await service.run(lambda: service.objects.presigned(upload_id, PRESIGNED_S))
    if url is None:
        raise Problem(
            409,
            "CONFLICT",
            "The object store of this installation takes no presigned uploads.",
            next_step="Use POST /v1/uploads, or tus at /v1/uploads/tus for large files.",
        )
    begun = PartialUpload(
        upload_id,
        principal.tenant,
        PRESIGNED,
        wanted.size,
        wanted.sha256,
        content_type(wanted.content_type),
        wanted.filename,
        wanted.kind,
        wanted.case_id,
        labels=wanted.labels,
    )
    await service.store.call(lambda store: store.begin(begun, service.lifetime_s))
    # Azure needs to know what kind of blob it is; the others refuse no header that is not signed.
    headers = {"x-ms-blob-type": "BlockBlob"} if service.objects.root.startswith("az:") else {}
    return PresignedBody(
        upload_id=upload_id,
        method="PUT",
        url=url,
        headers=headers,
        complete=f"/v1/uploads/{upload_id}/complete",
        expires_in_s=int(PRESIGNED_S),
    )


@router.post("/{upload_id}/complete", status_code=201, responses=problems(404, 413))
async def complete(ports: P, principal: CanUpload, upload_id: UploadId) -> UploadBody:
    """Accept a presigned upload: the gateway reads it, and checks its size and hash. Repeating it is safe."""
    seen = await found(ports, principal.tenant, upload_id, PRESIGNED)
    return body_of(seen if isinstance(seen, Upload) else await ports.uploads.finish(seen))


@router.get("/{upload_id}", responses=problems(404))
async def get(ports: P, principal: CanReadUpload, upload_id: UploadId) -> UploadBody:
    """Return an accepted upload. The scope `read` or `upload` suffices."""
    seen = await found(ports, principal.tenant, upload_id, TUS)
    if isinstance(seen, PartialUpload):
        if seen.received != seen.length:
            raise unknown()
        seen = await ports.uploads.finish(seen)
    return body_of(seen)


async def found(ports: Ports, tenant: str, upload_id: str, protocol: str) -> Upload | PartialUpload:
    """Return an upload of the tenant: accepted, or in pieces by this protocol. Raises NotFound."""
    if not is_job_id(upload_id):
        raise unknown()

    def look(store: UploadStore) -> Upload | PartialUpload | None:
        # The second look is for one that is accepted between the first and the look for its pieces.
        done = store.get(tenant, upload_id)
        return done or store.partial(tenant, upload_id) or store.get(tenant, upload_id)

    seen = await ports.uploads.store.call(look)
    if seen is None or (isinstance(seen, PartialUpload) and seen.protocol != protocol):
        raise unknown()
    return seen


def body_of(upload: Upload) -> UploadBody:
    claim = upload.claim
    return UploadBody(
        upload_id=upload.upload_id,
        claim=ClaimBody(uri=claim.uri, sha256=claim.sha256, size=claim.size, content_type=claim.content_type),
        filename=upload.filename,
        kind=upload.kind,
        case_id=upload.case_id,
        labels=upload.labels,
        created_at=upload.created_at,
    )


def content_type(text: str) -> str:
    """Return a content type, `application/octet-stream` for none. Raises InvalidInput for anything else."""
    text = text.strip()
    if text and not _TYPE.fullmatch(text):
        raise InvalidInput("The content type can't be read.", next_step="Send one like image/png.")
    return text or "application/octet-stream"


def digest(header: str | None) -> str | None:
    """Return the sha256, in hex, of a Content-Digest header (RFC 9530). Raises InvalidInput."""
    if header is None:
        return None
    for member in header.split(","):
        name, _, value = member.strip().partition("=")
        if name == "sha-256" and (found := re.fullmatch(r":([A-Za-z0-9+/=]*):", value)):
            try:
                raw = base64.b64decode(found[1], validate=True)
            except binascii.Error:
                break
            if len(raw) == 32:
                return raw.hex()
    raise InvalidInput("Content-Digest has no sha-256 that can be read.", next_step="Send `sha-256=:BASE64:`.")


def _length(request: Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdecimal() else None
