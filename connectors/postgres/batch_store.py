"""Batches on Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from connectors.batch_store import BatchRow, BatchView, progress
from connectors.payload_store import CHECK_IN_S, Payload
from connectors.postgres.base import PostgresStore
from connectors.postgres.payload_store import insert_payloads
from connectors.postgres.statement import query
from schemas.ids import is_job_id


class PostgresBatchStore(PostgresStore):
    """Implements `connectors.batch_store.BatchStore`."""

    application = "sluice batches"
    prepared = ("accept",)

    def accept(self, batch: BatchRow, payloads: Sequence[Payload], check_in_s: float = CHECK_IN_S) -> bool:
        with self._connected("accepting a batch") as connection, connection.transaction():
            new = connection.execute(query("accept_batch"), batch._asdict()).fetchone()
            if new is not None:
                insert_payloads(connection, payloads, check_in_s)
            return new is not None

    def batch(self, batch_id: str, tenant: str | None = None) -> BatchView | None:
        if not is_job_id(batch_id):
            return None
        places = {"tenant": "true" if tenant is None else "b.tenant = %(tenant)s"}
        rows = self._rows("batch", places, batch_id=UUID(batch_id), tenant=tenant)
        if not rows:
            return None
        row = rows[0]
        counts = progress(row["total"], row["counts"], row["ended_at"] is not None)
        return BatchView(**{**row, "counts": counts})

    def open_runs(self, batch_id: str, tenant: str) -> list[tuple[str, int]]:
        if not is_job_id(batch_id):
            return []
        rows = self._rows("open_batch_runs", batch_id=batch_id, key=UUID(batch_id), tenant=tenant)
        return [(row["job_id"], row["run"]) for row in rows]
