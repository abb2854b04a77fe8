"""Postgres, in a schema of its own, so that it may be any database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

SCHEMA = "ai_services"
Row = dict[str, Any]
#: Of `%s` in turn, or of `%(name)s` by name.
Values = Sequence[object] | Mapping[str, object]


class Database:
    """A pool of connections. Rows are dicts. A value for a jsonb column is wrapped by `json`: as a text it would be refused."""

    json = Jsonb

    def __init__(self, url: str) -> None:
        options = {"row_factory": dict_row, "options": f"-c search_path={SCHEMA}"}
        self._pool: ConnectionPool[Connection[Row]] = ConnectionPool(
            url, min_size=1, max_size=8, kwargs=options, open=False
        )

    def __enter__(self) -> Self:
        self._pool.open(wait=True, timeout=10)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def create(self, *tables: str) -> None:
        """Make the schema and these tables, by `IF NOT EXISTS`. Backends that start together wait for each other."""
        with self._pool.connection() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(20261129)")
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            for statements in tables:
                connection.execute(statements)

    def rows(self, query: str, values: Values = ()) -> Sequence[Row]:
        with self._pool.connection() as connection:
            return connection.execute(query, values).fetchall()

    def row(self, query: str, values: Values = ()) -> Row | None:
        with self._pool.connection() as connection:
            return connection.execute(query, values).fetchone()

    def change(self, statement: str, values: Values = ()) -> int:
        """Execute a statement; return the number of rows that it changed."""
        with self._pool.connection() as connection:
            return connection.execute(statement, values).rowcount
