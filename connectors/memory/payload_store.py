"""Accepted requests in memory."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from connectors.memory.database import MemoryStore
from connectors.memory.tables import StoredPayload
from connectors.payload_store import CHECK_IN_S, Payload


class MemoryPayloadStore(MemoryStore):
    """Implements `connectors.payload_store.PayloadStore`."""

    def accept(self, payload: Payload, check_in_s: float = CHECK_IN_S) -> bool:
        key = (UUID(payload.job_id).bytes, payload.run)
        with self._db.writing() as now:
            if key in self._db.payloads:
                return False
            self._db.payloads[key] = StoredPayload(
                *key,
                payload.processor,
                payload.lane,
                payload.key,
                payload.value,
                list(payload.headers),
                accepted_at=now,
                check_at=now + timedelta(seconds=check_in_s),
            )
            return True
