"""Uploads on Postgres."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from connectors.postgres.base import PostgresStore
from connectors.upload_store import CHECK_IN_S, PartialUpload, UploadPart
from schemas.records import Claim, Upload


class PostgresUploadStore(PostgresStore):
    """Implements `connectors.upload_store.UploadStore`."""

    application = "sluice uploads"
    # Plans are made for each statement: these tables go from empty to full.
    session = "SET plan_cache_mode = force_custom_plan"

    def add(self, upload: Upload, check_in_s: float = CHECK_IN_S, *, in_pieces: bool = False) -> bool:
        claim = upload.claim
        rows = self._rows(
            "add_upload",
            upload_id=UUID(upload.upload_id),
            tenant=upload.tenant,
            uri=claim.uri,
            sha256=claim.sha256,
            size=claim.size,
            content_type=claim.content_type,
            filename=upload.filename,
            kind=upload.kind,
            case_id=upload.case_id,
            source=upload.source,
            labels=Jsonb(upload.labels),
            created_at=upload.created_at,
            check_in=timedelta(seconds=check_in_s),
            in_pieces=in_pieces,
        )
        return bool(rows)

    def get(self, tenant: str, upload_id: str) -> Upload | None:
        rows = self._rows("find_upload", tenant=tenant, upload_id=UUID(upload_id))
        return upload_of(rows[0]) if rows else None

    def of_case(
        self, tenant: str, case_id: str, kind: str, *, labels: Mapping[str, Sequence[str]], limit: int
    ) -> list[Upload]:
        wanted: dict[str, Any] = {"tenant": tenant, "case_id": case_id, "kind": kind, "limit": limit}
        rows = self._rows(
            "uploads_of_case", **wanted, labels=Jsonb({name: list(each) for name, each in labels.items()})
        )
        return [upload_of(row) for row in rows]

    def mark_published(self, upload_ids: Iterable[str]) -> None:
        if ids := [UUID(one) for one in upload_ids]:
            self._rows("mark_uploads_published", upload_ids=ids)

    def foreign(self, tenant: str, sha256s: Iterable[str]) -> set[str]:
        wanted = sorted(set(sha256s))
        if not wanted:
            return set()
        return {row["sha256"] for row in self._rows("foreign_contents", tenant=tenant, sha256s=wanted)}

    def begin(self, upload: PartialUpload, lifetime_s: float) -> PartialUpload:
        (row,) = self._rows(
            "begin_upload",
            upload_id=UUID(upload.upload_id),
            tenant=upload.tenant,
            protocol=upload.protocol,
            length=upload.length,
            sha256=upload.sha256,
            content_type=upload.content_type,
            filename=upload.filename,
            kind=upload.kind,
            case_id=upload.case_id,
            metadata=upload.metadata,
            labels=Jsonb(upload.labels),
            lifetime=timedelta(seconds=lifetime_s),
        )
        return replace(upload, expires_at=row["expires_at"])

    def partial(self, tenant: str, upload_id: str) -> PartialUpload | None:
        return _partial(self._rows("partial_upload", tenant=tenant, upload_id=UUID(upload_id)))

    def set_length(self, upload_id: str, length: int) -> bool:
        return bool(self._rows("set_upload_length", upload_id=UUID(upload_id), length=length))

    def add_part(self, upload_id: str, part: UploadPart, lifetime_s: float) -> PartialUpload | None:
        rows = self._rows(
            "add_upload_part",
            upload_id=UUID(upload_id),
            start=part.start,
            size=part.size,
            part_name=part.name,
            lifetime=timedelta(seconds=lifetime_s),
        )
        return _partial(rows)

    def parts(self, upload_id: str) -> list[UploadPart]:
        return [UploadPart(**row) for row in self._rows("upload_parts", upload_id=UUID(upload_id))]

    def discard(self, upload_id: str) -> bool:
        return bool(self._rows("discard_upload", upload_id=UUID(upload_id)))


def upload_of(row: dict[str, Any]) -> Upload:
    """Return the upload of a row with the columns of `find_upload`."""
    claim = Claim(row["uri"], row["sha256"], row["size"], row["content_type"])
    return Upload(
        upload_id=row["upload_id"],
        claim=claim,
        created_at=row["created_at"],
        filename=row["filename"],
        kind=row["kind"],
        tenant=row["tenant"],
        case_id=row["case_id"],
        source=row["source"],
        labels=row["labels"],
    )


def _partial(rows: list[dict[str, Any]]) -> PartialUpload | None:
    return PartialUpload(**rows[0]) if rows else None
