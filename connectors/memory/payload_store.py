"""Accepted requests in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from connectors.memory.database import MemoryDatabase, MemoryStore, StoredKey
from connectors.memory.tables import StoredPayload
from connectors.payload_store import CHECK_IN_S, Acceptance, Payload
from schemas.ids import is_job_id


class MemoryPayloadStore(MemoryStore):
    """Implements `connectors.payload_store.PayloadStore`."""

    def accept(self, payload: Payload, check_in_s: float = CHECK_IN_S) -> bool:
        return self.accept_many([payload], check_in_s)[0].accepted

    def accept_many(self, payloads: Sequence[Payload], check_in_s: float = CHECK_IN_S) -> list[Acceptance]:
        with self._db.writing() as now:
            return [accept(self._db, payload, now + timedelta(seconds=check_in_s), now) for payload in payloads]

    def payload(self, job_id: str, run: int = 0) -> Payload | None:
        if not is_job_id(job_id):
            return None
        with self._db.reading():
            row = self._db.payloads.get((UUID(job_id).bytes, run))
            return None if row is None else stored_payload(row)


def accept(db: MemoryDatabase, payload: Payload, check_at: datetime, now: datetime) -> Acceptance:
    """Accept one request within a transaction."""
    key: StoredKey = (UUID(payload.job_id).bytes, payload.run)
    if (job := db.jobs.get(key[0])) is not None:
        return Acceptance(False, job.input_sha256)
    if (kept := db.payloads.get(key)) is not None:
        return Acceptance(False, kept.input_sha256)
    db.payloads[key] = StoredPayload(
        *key,
        payload.processor,
        payload.lane,
        payload.key,
        payload.value,
        list(payload.headers),
        accepted_at=now,
        check_at=check_at,
        tenant=payload.tenant,
        input_sha256=payload.input_sha256,
        batch_id=payload.batch_id,
    )
    return Acceptance(True, payload.input_sha256)


def stored_payload(row: StoredPayload) -> Payload:
    return Payload(
        str(UUID(bytes=row.job_id)),
        row.run,
        row.processor,
        row.lane,
        row.key,
        row.value,
        list(row.headers),
        row.tenant,
        row.input_sha256,
        row.batch_id,
    )
