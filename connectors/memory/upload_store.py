"""Uploads in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from connectors.memory.database import MemoryStore
from connectors.memory.tables import StoredUpload
from connectors.upload_store import CHECK_IN_S, PartialUpload, UploadPart
from schemas.records import Upload


class MemoryUploadStore(MemoryStore):
    """Implements `connectors.upload_store.UploadStore`."""

    def add(self, upload: Upload, check_in_s: float = CHECK_IN_S, *, in_pieces: bool = False) -> bool:
        with self._db.writing() as now:
            if in_pieces and not self._end(upload.upload_id):
                return False
            if upload.upload_id in self._db.uploads:
                return False
            self._db.uploads[upload.upload_id] = StoredUpload(upload, now + timedelta(seconds=check_in_s))
            return True

    def get(self, tenant: str, upload_id: str) -> Upload | None:
        with self._db.reading():
            row = self._db.uploads.get(upload_id)
            return row.upload if row is not None and row.upload.tenant == tenant else None

    def of_case(
        self, tenant: str, case_id: str, kind: str, *, labels: Mapping[str, Sequence[str]], limit: int
    ) -> list[Upload]:
        with self._db.reading():
            found = [row.upload for row in self._db.uploads.values() if row.upload.tenant == tenant]
        found = [each for each in found if each.case_id == case_id and each.kind == kind and _has(each, labels)]
        return sorted(found, key=lambda each: (each.created_at, each.upload_id), reverse=True)[:limit]

    def mark_published(self, upload_ids: Iterable[str]) -> None:
        with self._db.writing():
            for upload_id in upload_ids:
                if (row := self._db.uploads.get(upload_id)) is not None:
                    row.check_at = None

    def foreign(self, tenant: str, sha256s: Iterable[str]) -> set[str]:
        with self._db.reading():
            own = {row.upload.claim.sha256 for row in self._db.uploads.values() if row.upload.tenant == tenant}
            for outcome in self._db.outcomes.values():
                job = self._db.jobs.get(outcome.job_id)
                if outcome.refs is not None and job is not None and job.tenant == tenant:
                    own |= {ref["sha256"] for ref in json.loads(outcome.refs)}
            return set(sha256s) - own

    def begin(self, upload: PartialUpload, lifetime_s: float) -> PartialUpload:
        with self._db.writing() as now:
            begun = replace(upload, received=0, expires_at=now + timedelta(seconds=lifetime_s))
            self._db.partial_uploads[upload.upload_id] = begun
            return begun

    def partial(self, tenant: str, upload_id: str) -> PartialUpload | None:
        with self._db.reading() as now:
            found = self._alive(upload_id, now)
            return found if found is not None and found.tenant == tenant else None

    def set_length(self, upload_id: str, length: int) -> bool:
        with self._db.writing():
            found = self._db.partial_uploads.get(upload_id)
            if found is None or found.length not in (None, length) or found.received > length:
                return False
            self._db.partial_uploads[upload_id] = replace(found, length=length)
            return True

    def add_part(self, upload_id: str, part: UploadPart, lifetime_s: float) -> PartialUpload | None:
        with self._db.writing() as now:
            found = self._alive(upload_id, now)
            if found is None or found.received != part.start:
                return None
            expires_at = now + timedelta(seconds=lifetime_s)
            longer = replace(found, received=found.received + part.size, expires_at=expires_at)
            self._db.partial_uploads[upload_id] = longer
            self._db.upload_parts.setdefault(upload_id, []).append(part)
            return longer

    def parts(self, upload_id: str) -> list[UploadPart]:
        with self._db.reading():
            return list(self._db.upload_parts.get(upload_id, ()))

    def discard(self, upload_id: str) -> bool:
        with self._db.writing():
            return self._end(upload_id)

    def _end(self, upload_id: str) -> bool:
        self._db.upload_parts.pop(upload_id, None)
        return self._db.partial_uploads.pop(upload_id, None) is not None

    def _alive(self, upload_id: str, now: datetime) -> PartialUpload | None:
        found = self._db.partial_uploads.get(upload_id)
        return found if found is not None and found.expires_at is not None and found.expires_at > now else None


def _has(upload: Upload, labels: Mapping[str, Sequence[str]]) -> bool:
    return all(upload.labels.get(name) in values for name, values in labels.items())
