"""The timekeeper's store on Postgres. Leadership is a session lock on the connection that everything else goes through, so
that a leader that lost its connection can't go on by mistake. One that is stopped or cut off keeps its connection, as far as
the server can see: therefore the server ends a session that says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from connectors.due_store import DoneRow, DueRun
from connectors.payload_store import Payload
from connectors.postgres.connection import Connection, connect, translated
from connectors.postgres.statement import query, statement
from schemas.errors import SluiceError

_LEADER = 0x71C5  # any fixed number, one a database
#: A session that is silent for so long is ended by the server, and its lock with it. A leader asks five times a second.
_SILENCE = "SET idle_session_timeout = '6s'"


class PostgresDueStore:
    """See `connectors.due_store.DueStore`."""

    def __init__(self, dsn: str, *, application: str = "sluice timekeeper") -> None:
        self._dsn = dsn
        self._application = application
        self._connection: Connection | None = None
        self._leads = False

    def lead(self) -> bool:
        if not self._leads:
            row = self._fetch(b"SELECT pg_try_advisory_lock(%(key)s) AS leads", key=_LEADER)[0]
            self._leads = bool(row["leads"])
        return self._leads

    def keep_leading(self) -> None:
        self._fetch(b"SELECT 1 AS alive")

    def due(self, limit: int) -> list[DueRun]:
        return [_due(row) for row in self._fetch(query("due_runs"), limit=limit)]

    def open_cancels(self, grace: timedelta, limit: int) -> list[DueRun]:
        return [_due(row) for row in self._fetch(query("open_cancels"), grace=grace, limit=limit)]

    def unsent(self, limit: int) -> list[Payload]:
        rows = self._fetch(query("unsent"), limit=limit)
        return [Payload(**{**row, "headers": [(name, text) for name, text in row["headers"]]}) for row in rows]

    def mark_done(self, rows: Sequence[DoneRow]) -> None:
        try:
            with translated("marking what was due"):
                statement("mark_done").run(self._connected(), p=sorted(rows))
        except SluiceError:
            self.close()
            raise

    def prune(self, older_than: timedelta, limit: int) -> int:
        return int(self._fetch(query("prune"), age=older_than, limit=limit)[0]["forgotten"])

    def close(self) -> None:
        """Gives leadership up."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._leads = None, False

    def _fetch(self, sql: bytes, **parameters: Any) -> list[dict[str, Any]]:
        try:
            with translated("keeping time"), self._connected().cursor(row_factory=dict_row) as cursor:
                return cursor.execute(sql, parameters).fetchall()
        except SluiceError:
            self.close()
            raise

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.pgconn.status != psycopg.pq.ConnStatus.OK:
            self._leads = False
            self._connection = connect(self._dsn, application=self._application)
            self._connection.execute("SET plan_cache_mode = force_custom_plan")
            self._connection.execute(_SILENCE)
            statement("mark_done").prepare(self._connection)
        return self._connection


def _due(row: dict[str, Any]) -> DueRun:
    return DueRun(**{**row, "topic_id": row["topic_id"].bytes if row["topic_id"] else None})
