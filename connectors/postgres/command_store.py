"""Orders on Postgres: written by the sink, read by the commands that give and show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from connectors.command_store import AcknowledgementRow, CancelRow, CommandRow
from connectors.postgres.connection import Connection, connect, translated
from connectors.postgres.statement import query, statement
from connectors.views import AcknowledgementView, ProcessorView, RunState
from schemas.errors import SluiceError

_WRITES = ("store_cancels", "store_commands", "store_acknowledgements")
_OPEN = "r.state IN ('PENDING', 'PROCESSING', 'RETRYING')"


class PostgresCommandStore:
    """See `connectors.command_store.ControlStore`. Connects at first use, and again after a lost connection."""

    def __init__(self, dsn: str, *, application: str = "sluice control") -> None:
        self._dsn = dsn
        self._application = application
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(
        self,
        cancels: Sequence[CancelRow],
        commands: Sequence[CommandRow],
        acknowledgements: Sequence[AcknowledgementRow],
    ) -> None:
        try:
            with translated("storing commands"), self._connected().transaction():
                # Sorted, so that two sinks lock rows in one order.
                for name, table, rows in zip(_WRITES, "cpa", (cancels, commands, acknowledgements), strict=True):
                    if rows:
                        statement(name).run(self._connected(), **{table: sorted(rows)})
        except SluiceError:
            self.close()
            raise

    def run_states(self, job_ids: Sequence[str], run: int | None = None) -> list[RunState]:
        keys = [UUID(job_id) for job_id in job_ids]
        return self._standings("j.job_id = ANY(%(keys)s)", keys=keys, run=run)

    def open_jobs(self, batch_id: str) -> list[RunState]:
        return self._standings(f"j.batch_id = %(batch_id)s AND {_OPEN}", batch_id=batch_id, run=None)

    def processors(self, names: Sequence[str]) -> list[ProcessorView]:
        return [_processor_view(row) for row in self._fetch("processors", names=list(names))]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _standings(self, wanted: str, **parameters: Any) -> list[RunState]:
        return [RunState(**row) for row in self._fetch("standings", {"wanted": wanted}, **parameters)]

    def _fetch(self, name: str, parts: Mapping[str, str] | None = None, **parameters: Any) -> list[dict[str, Any]]:
        sql = query(name)
        for part, condition in (parts or {}).items():
            sql = sql.replace(f"{{{part}}}".encode(), condition.encode())
        with translated("reading commands"), self._connected().cursor(row_factory=dict_row) as cursor:
            return cursor.execute(sql, parameters).fetchall()

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.pgconn.status != psycopg.pq.ConnStatus.OK:
            self._connection = connect(self._dsn, application=self._application)
            for name in _WRITES:
                statement(name).prepare(self._connection)
        return self._connection


def _processor_view(row: dict[str, Any]) -> ProcessorView:
    acknowledgements = [
        AcknowledgementView(**{**one, "at": datetime.fromisoformat(one["at"])}) for one in row.pop("acknowledgements")
    ]
    return ProcessorView(**row, acknowledgements=acknowledgements)
