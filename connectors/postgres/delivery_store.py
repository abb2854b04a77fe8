"""The notifier's store on Postgres."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.pq import ConnStatus
from psycopg.rows import dict_row

from connectors.delivery_store import ClaimedDelivery, TryRow
from connectors.postgres.connection import Connection, connect, translated
from connectors.postgres.statement import query, statement

#: As the sink's: everything is reached by a key or a small partial index, whatever the planner thinks of empty tables.
_PLANS = """
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off;
SET plan_cache_mode = force_generic_plan; SET jit = off
"""


class PostgresDeliveryStore:
    """See `connectors.delivery_store.DeliveryStore`. Connects at first use, and again after a lost connection."""

    def __init__(self, dsn: str, *, application: str = "sluice notify") -> None:
        self._dsn = dsn
        self._application = application
        self._connection: Connection | None = None

    def renew(self, notifier: bytes, lease_s: float) -> None:
        self._execute("renew_notifier", notifier=UUID(bytes=notifier), lease=timedelta(seconds=lease_s))
        self._execute("bury_notifiers")

    def retire(self, notifier: bytes) -> None:
        self._execute("retire_notifier", notifier=UUID(bytes=notifier))

    def claim(self, notifier: bytes, limit: int) -> list[ClaimedDelivery]:
        return [_claimed(row) for row in self._execute("claim_deliveries", notifier=UUID(bytes=notifier), limit=limit)]

    def held(self, notifier: bytes, limit: int) -> list[ClaimedDelivery]:
        return [_claimed(row) for row in self._execute("held_deliveries", notifier=UUID(bytes=notifier), limit=limit)]

    def record(self, rows: Sequence[TryRow]) -> None:
        with self._talk("writing down deliveries") as connection:
            statement("record_tries").run(connection, t=sorted(rows))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _execute(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        with self._talk(name.replace("_", " ")) as connection, connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(query(name), parameters)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def _talk(self, doing: str) -> Iterator[Connection]:
        with translated(doing):
            connection = self._connection or self._open()
            try:
                yield connection
            finally:
                if connection.pgconn.status != ConnStatus.OK:
                    self.close()

    def _open(self) -> Connection:
        connection = connect(self._dsn, application=self._application)
        connection.execute(_PLANS)
        statement("record_tries").prepare(connection)
        self._connection = connection
        return connection


def _claimed(row: dict[str, Any]) -> ClaimedDelivery:
    row["job_id"] = str(row["job_id"])
    return ClaimedDelivery(row.pop("delivery_id").bytes, row.pop("destination"), row.pop("tries"), row)
