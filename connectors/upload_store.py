"""Port of uploads: files that were accepted, uploads in pieces, and the question whose a stored file is (docs/adr/0025).

Accepted means: the object is stored under its sha256, then the row is committed. Who commits the row also publishes its event;
if that fails, the timekeeper publishes it again with the same id (`DueStore.unsent_uploads`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, Self

from schemas.records import Upload

#: Seconds from an upload's commit until the timekeeper publishes its event, unless that is confirmed before.
CHECK_IN_S = 10.0

TUS = "tus"
PRESIGNED = "presigned"


@dataclass(frozen=True, slots=True)
class PartialUpload:
    """An upload in pieces that has not ended. `length`: bytes in all; None while the client has not said. `received`: bytes
    that are stored. `metadata`: the client's Upload-Metadata, as it came."""

    upload_id: str
    tenant: str
    protocol: str
    length: int | None
    sha256: str | None
    content_type: str
    filename: str = ""
    kind: str = ""
    case_id: str | None = None
    metadata: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    received: int = 0
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class UploadPart:
    """Stored bytes of an upload in pieces, as the named object `name`."""

    start: int
    size: int
    name: str


class UploadStore(Protocol):
    """Used by one thread; a context manager that disconnects on exit. Every call raises Unreachable while the store does not
    answer."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def add(self, upload: Upload, check_in_s: float = CHECK_IN_S, *, in_pieces: bool = False) -> bool:
        """Accept an upload. False if it was accepted before. `in_pieces`: its partial upload of the same id ends with it; False
        also if that is gone: it was discarded, or has expired."""
        ...

    def get(self, tenant: str, upload_id: str) -> Upload | None:
        """Return a tenant's upload; None if there is none."""
        ...

    def of_case(
        self, tenant: str, case_id: str, kind: str, *, labels: Mapping[str, Sequence[str]], limit: int
    ) -> list[Upload]:
        """Return a case's uploads of a kind that have one of the given values under each label, newest first."""
        ...

    def mark_published(self, upload_ids: Iterable[str]) -> None:
        """Note that the events of these uploads are in the log."""
        ...

    def foreign(self, tenant: str, sha256s: Iterable[str]) -> set[str]:
        """Return those of these contents that are neither an upload of the tenant nor a file of a result of its jobs."""
        ...

    # ── uploads in pieces ──

    def begin(self, upload: PartialUpload, lifetime_s: float) -> PartialUpload:
        """Begin an upload in pieces; return it with the time at which it expires."""
        ...

    def partial(self, tenant: str, upload_id: str) -> PartialUpload | None:
        """Return a tenant's upload in pieces; None if there is none, or it has expired."""
        ...

    def set_length(self, upload_id: str, length: int) -> bool:
        """Set the length of an upload that did not have one; False if it has another."""
        ...

    def add_part(self, upload_id: str, part: UploadPart, lifetime_s: float) -> PartialUpload | None:
        """Append a stored part, and put off the expiry. None, and nothing is changed, if the upload does not end where the
        part starts: another request has appended meanwhile."""
        ...

    def parts(self, upload_id: str) -> list[UploadPart]:
        """Return the parts of an upload by rising start."""
        ...

    def discard(self, upload_id: str) -> bool:
        """Delete an upload in pieces and its list of parts, not the parts' objects. False if there is none: of `discard` and
        `add`, one ends it."""
        ...

    def close(self) -> None: ...
