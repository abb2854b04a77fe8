"""Statements from `queries/*.sql`, prepared once a connection and fed with whole tables.

A file says where a table of parameters goes, `@rows(job_id uuid, run integer)`; it becomes
`unnest($1::uuid[], $2::integer[]) AS rows(job_id, run)`. One round trip then stores a batch, whatever its size.
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
    """`tables`: each parameter table's name, and the SQL types of its columns in order."""

    name: str
    sql: str
    tables: tuple[tuple[str, tuple[str, ...]], ...]

    def run(self, connection: Connection, **tables: Rows) -> PGresult:
        """Run it and return the binary result. Raises psycopg's errors."""
        result = connection.pgconn.exec_prepared(
            self.name.encode(), self._parameters(tables), [1] * sum(len(types) for _, types in self.tables), 1
        )
        return checked(result)

    def prepare(self, connection: Connection) -> None:
        """Must be called once for each connection. DDL on that connection would make psycopg forget it."""
        oids = [array_oid(type_) for _, types in self.tables for type_ in types]
        checked(connection.pgconn.prepare(self.name.encode(), self.sql.encode(), oids))

    def _parameters(self, tables: dict[str, Rows]) -> list[bytes]:
        return [
            array(type_, column)
            for name, types in self.tables
            for type_, column in zip(types, columns(tables[name], len(types)), strict=True)
        ]


def checked(result: PGresult) -> PGresult:
    """The result, if it is one. Raises the psycopg error of its SQLSTATE."""
    if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        return result
    message = result.error_message.decode("utf-8", "replace").strip()
    state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
    if state is None:
        raise psycopg.OperationalError(message or "the connection was lost")
    raise errors.lookup(state.decode())(message)


@cache
def statement(name: str) -> Statement:
    """The statement in `queries/<name>.sql`."""
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
    """The text of `queries/<name>.sql`, with psycopg's own placeholders."""
    return (FOLDER / f"{name}.sql").read_bytes()
