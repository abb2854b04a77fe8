"""Base of the stores on Postgres: one connection, opened at first use and again after it was lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from psycopg import errors
from psycopg.pq import ConnStatus
from psycopg.rows import dict_row

from connectors.postgres.call_guard import GUARD
from connectors.postgres.connection import LIMITS, Connection, open_bounded, translated
from connectors.postgres.statement import query, statement


class PostgresStore:
    """Used by one thread. A context manager that disconnects on exit."""

    #: Name of the connection in pg_stat_activity.
    application = "sluice"
    #: Settings of each new connection, as SQL.
    session = ""
    #: Files in `queries/` whose statements are prepared on each new connection.
    prepared: tuple[str, ...] = ()
    limits = LIMITS

    def __init__(self, dsn: str, *, application: str | None = None) -> None:
        self._dsn = dsn
        self._application = application or self.application
        self._connection: Connection | None = None
        self._bound_s = 0.0
        self._pid = os.getpid()
        #: The parent's, after a fork: closing it here would end the parent's session.
        self._inherited: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect. The next call connects again."""
        self._leave_the_parents()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abort(self) -> None:
        """Make the call that another thread makes now raise Unreachable. The database may be frozen, and Python waits for the
        threads of a pool before it exits."""
        GUARD.end(self._connection)

    @contextmanager
    def _connected(self, doing: str) -> Iterator[Connection]:
        """Yield the connection, opened if necessary; close it if it was lost. Translates psycopg's errors (`translated`).

        Raises Unreachable if the block's calls take longer than the connection's bound."""
        with translated(doing):
            self._leave_the_parents()
            connection = self._connection or self._open()
            try:
                with GUARD.bounded(connection, self._bound_s):
                    yield connection
            except errors.InvalidSqlStatementName:  # something dropped ours: the next connection has them again
                self.close()
                raise
            finally:
                if connection.pgconn.status != ConnStatus.OK:
                    self.close()

    def _leave_the_parents(self) -> None:
        """Leave a connection that was opened before a fork to the parent; the child opens one of its own."""
        if self._pid != os.getpid():
            self._inherited, self._connection, self._pid = self._connection, None, os.getpid()

    def _rows(self, name: str, conditions: dict[str, str] | None = None, **parameters: Any) -> list[dict[str, Any]]:
        """Run `queries/<name>.sql` and return its rows. `conditions` maps each `{placeholder}` in the text to SQL."""
        sql = query(name)
        for placeholder, condition in (conditions or {}).items():
            sql = sql.replace(f"{{{placeholder}}}".encode(), condition.encode())
        with self._connected(f"running {name}") as connection, connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def _open(self) -> Connection:
        connection, self._bound_s = open_bounded(self._dsn, application=self._application, limits=self.limits)
        if self.prepared:
            # psycopg would prepare frequent statements by itself, and drop all that are prepared, ours too, after a rollback.
            connection.prepare_threshold = None
        try:
            with GUARD.bounded(connection, self._bound_s):
                if self.session:
                    connection.execute(self.session.encode())
                for name in self.prepared:
                    statement(name).prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection
