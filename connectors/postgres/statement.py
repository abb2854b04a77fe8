"""Statements from `queries/*.sql`, prepared once per connection; their parameters are whole tables.

`@rows(job_id uuid, run integer)` in a file marks a table of parameters. It becomes
`unnest($1::uuid[], $2::integer[]) AS rows(job_id, run)`, so one round trip stores a batch of any size.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import errors
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from connectors.postgres.arrays import array, array_oid, columns
from connectors.postgres.connection import Connection

FOLDER = Path(__file__).parent / "queries"
_TABLE = re.compile(r"@(\w+)\(([^)]*)\)")

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with tables as parameters. `tables`: each table's name and the SQL types of its columns, in order."""

    name: str
    sql: str
    tables: tuple[tuple[str, tuple[str, ...]], ...]

    def run(self, connection: Connection, **tables: Rows) -> PGresult:
        """Run the statement and return its binary result. Raises psycopg's errors."""
        result = connection.pgconn.exec_prepared(
            self.name.encode(), self._parameters(tables), [1] * sum(len(types) for _, types in self.tables), 1
        )
        return checked(result)

    def prepare(self, connection: Connection) -> None:
        """Prepare the statement; needed once per connection. DDL on that connection makes psycopg drop prepared statements."""
        oids = [array_oid(type_) for _, types in self.tables for type_ in types]
        checked(connection.pgconn.prepare(self.name.encode(), self.sql.encode(), oids))

    def _parameters(self, tables: dict[str, Rows]) -> list[bytes]:
        return [
            array(type_, column)
            for name, types in self.tables
            for type_, column in zip(types, columns(tables[name], len(types)), strict=True)
        ]


def checked(result: PGresult) -> PGresult:
    """Return the result if the statement succeeded; else raise the psycopg error of its SQLSTATE."""
    if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        return result
    message = result.error_message.decode("utf-8", "replace").strip()
    state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
    if state is None:
        raise psycopg.OperationalError(message or "the connection was lost")
    try:
        error = errors.lookup(state.decode())
    except KeyError:  # a code of an extension, or of a newer server than this psycopg
        error = psycopg.DatabaseError
    raise error(message)


@cache
def statement(name: str) -> Statement:
    """Return the statement in `queries/<name>.sql`."""
    tables: list[tuple[str, tuple[str, ...]]] = []
    parameters = 0

    def expand(match: re.Match[str]) -> str:
        nonlocal parameters
        pairs = [column.split() for column in match[2].split(",")]
        tables.append((match[1], tuple(type_ for _, type_ in pairs)))
        arrays = [f"${parameters + n}::{type_}[]" for n, (_, type_) in enumerate(pairs, 1)]
        parameters += len(pairs)
        return f"unnest({', '.join(arrays)}) AS {match[1]}({', '.join(column for column, _ in pairs)})"

    sql = _TABLE.sub(expand, (FOLDER / f"{name}.sql").read_text(encoding="utf-8"))
    return Statement(name, sql, tuple(tables))


@cache
def query(name: str) -> bytes:
    """Return the text of `queries/<name>.sql`, which uses psycopg's placeholders."""
    return (FOLDER / f"{name}.sql").read_bytes()
