"""Accepted requests on Postgres."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from psycopg.types.json import Jsonb

from connectors.payload_store import CHECK_IN_S, Payload
from connectors.postgres.base import PostgresStore


class PostgresPayloadStore(PostgresStore):
    """Implements `connectors.payload_store.PayloadStore`."""

    application = "sluice door"

    def accept(self, payload: Payload, check_in_s: float = CHECK_IN_S) -> bool:
        rows = self._rows(
            "accept",
            job_id=UUID(payload.job_id),
            run=payload.run,
            processor=payload.processor,
            lane=payload.lane,
            key=payload.key,
            value=payload.value,
            headers=Jsonb(payload.headers),
            check_in=timedelta(seconds=check_in_s),
        )
        return bool(rows)
