"""Accepted requests on Postgres."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from connectors.payload_store import CHECK_IN_S, Acceptance, Payload
from connectors.postgres.base import PostgresStore
from connectors.postgres.connection import Connection
from connectors.postgres.statement import statement
from schemas.errors import Unreachable
from schemas.ids import is_job_id

#: How often a request is tried again that is neither new nor known: its row was deleted at that moment.
_TRIES = 3


class PostgresPayloadStore(PostgresStore):
    """Implements `connectors.payload_store.PayloadStore`."""

    application = "sluice door"
    prepared = ("accept",)

    def accept(self, payload: Payload, check_in_s: float = CHECK_IN_S) -> bool:
        return self.accept_many([payload], check_in_s)[0].accepted

    def accept_many(self, payloads: Sequence[Payload], check_in_s: float = CHECK_IN_S) -> list[Acceptance]:
        first: dict[str, Payload] = {}
        for payload in payloads:
            first.setdefault(payload.job_id, payload)
        hashes: dict[str, str | None] = {}
        new: set[str] = set()
        for _ in range(_TRIES):
            left = [payload for job_id, payload in first.items() if job_id not in new and job_id not in hashes]
            if not left:
                return [_acceptance(payload, first, new, hashes) for payload in payloads]
            with self._connected("accepting requests") as connection:
                new |= insert_payloads(connection, left, check_in_s)
            if known := [UUID(payload.job_id) for payload in left if payload.job_id not in new]:
                rows = self._rows("accepted_before", jobs=known)
                hashes |= {row["job_id"]: row["input_sha256"] for row in rows}
        raise Unreachable("Postgres neither accepted a request nor knows it.", next_step="Send it again.")

    def payload(self, job_id: str, run: int = 0) -> Payload | None:
        if not is_job_id(job_id):
            return None
        rows = self._rows("payload", job_id=UUID(job_id), run=run)
        return read_payload(rows[0]) if rows else None


def insert_payloads(connection: Connection, payloads: Sequence[Payload], check_in_s: float) -> set[str]:
    """Insert requests by the prepared statement `accept`; return the ids of the new ones.

    Sorted, so that two programs lock the same ids in the same order.
    """
    rows = sorted(_row(payload, int(check_in_s * 1000)) for payload in payloads)
    result = statement("accept").run(connection, p=rows)
    return {str(UUID(bytes=result.get_value(n, 0))) for n in range(result.ntuples)}


def read_payload(row: dict[str, Any]) -> Payload:
    return Payload(**{**row, "headers": [(name, text) for name, text in row["headers"]]})


def _row(payload: Payload, check_in_ms: int) -> tuple[Any, ...]:
    return (
        UUID(payload.job_id).bytes,
        payload.run,
        payload.processor,
        payload.lane,
        payload.key,
        payload.value,
        json.dumps(payload.headers).encode(),
        payload.tenant,
        payload.input_sha256,
        None if payload.batch_id is None else UUID(payload.batch_id).bytes,
        check_in_ms,
    )


def _acceptance(
    payload: Payload, first: dict[str, Payload], new: set[str], hashes: dict[str, str | None]
) -> Acceptance:
    """Return the answer to one request of a group, of which the first with an id may have been new."""
    if payload.job_id in new:
        kept = first[payload.job_id]
        return Acceptance(kept is payload, kept.input_sha256)
    return Acceptance(False, hashes[payload.job_id])
