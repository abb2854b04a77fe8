"""Accepted requests on Postgres."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from connectors.payload_store import CHECK_IN_S, Payload
from connectors.postgres.connection import Connection, connect, translated
from connectors.postgres.statement import query


class PostgresPayloadStore:
    """See `connectors.payload_store.PayloadStore`. Connects at first use, and again after a lost connection."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def accept(self, payload: Payload, check_in_s: float = CHECK_IN_S) -> bool:
        row: dict[str, Any] = {
            "job_id": UUID(payload.job_id),
            "run": payload.run,
            "processor": payload.processor,
            "lane": payload.lane,
            "key": payload.key,
            "value": payload.value,
            "headers": Jsonb(payload.headers),
            "check_in": timedelta(seconds=check_in_s),
        }
        with translated("accepting a job"):
            return self._connected().execute(query("accept"), row).fetchone() is not None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.pgconn.status != psycopg.pq.ConnStatus.OK:
            self._connection = connect(self._dsn, application="sluice door")
        return self._connection
