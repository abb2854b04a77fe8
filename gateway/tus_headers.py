"""The headers of tus: metadata, checksum, numbers, and their errors."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from pydantic import BaseModel, Field, Json, ValidationError

from gateway.problems import Problem
from gateway.uploads import Case, Kind, Labels, Sha256, Text
from schemas.errors import InvalidInput

ALGORITHMS = ("sha256", "sha1", "md5")
LARGEST = 2**62


class Metadata(BaseModel):
    """The keys of Upload-Metadata that are used; others are kept and returned. `labels`: JSON, an object of texts."""

    filename: Text = ""
    filetype: str = ""
    kind: Kind = ""
    case_id: Case | None = None
    sha256: Sha256 | None = None
    labels: Json[Labels] = Field(default_factory=dict)


def http_date(at: datetime) -> str:
    return format_datetime(at, usegmt=True)


def metadata_of(text: str) -> Metadata:
    """Parse Upload-Metadata: `key BASE64,key`. Raises Problem 400, InvalidInput."""
    if len(text) > 8192:
        raise bad("Upload-Metadata is too long.")
    values: dict[str, str] = {}
    for pair in filter(None, (each.strip() for each in text.split(","))):
        key, _, encoded = pair.partition(" ")
        try:
            values[key] = base64.b64decode(encoded.strip(), validate=True).decode()
        except ValueError:  # binascii.Error is one too
            raise bad("Upload-Metadata can't be read.") from None
    try:
        return Metadata.model_validate({key: value for key, value in values.items() if value})
    except ValidationError as error:
        names = ", ".join(sorted({str(each["loc"][0]) for each in error.errors()}))
        raise InvalidInput(f"Values in Upload-Metadata can't be used: {names}.") from None


def checksum_of(header: str | None) -> tuple[Any, bytes] | None:
    """Return the hash and the expected digest of Upload-Checksum. Raises Problem 400."""
    if header is None:
        return None
    algorithm, _, encoded = header.partition(" ")
    try:
        expected = base64.b64decode(encoded.strip(), validate=True)
    except ValueError:
        raise bad("Upload-Checksum can't be read.") from None
    if algorithm not in ALGORITHMS:
        raise bad(f"Upload-Checksum takes {', '.join(ALGORITHMS)}.")
    return hashlib.new(algorithm, usedforsecurity=False), expected


def number(text: str | None, header: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= LARGEST):
        raise bad(f"{header} is not a number that can be used.")
    return int(text)


def elsewhere(received: int) -> Problem:
    return Problem(
        409,
        "CONFLICT",
        "The upload does not end at Upload-Offset.",
        next_step="Ask for the offset with HEAD, and go on from there.",
        headers={"Upload-Offset": str(received)},
    )


def bad(detail: str) -> Problem:
    return Problem(400, "BAD_REQUEST", detail, next_step="See docs/uploads.md.")
