"""The timekeeper's store on Postgres.

Leadership is an advisory lock of the session that every statement uses, so a leader that lost its connection can't continue
by mistake. A leader that is stopped or cut off keeps its connection as far as the server can see; the server therefore ends
sessions that are silent for too long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from connectors.batch_store import BatchView
from connectors.command_store import CommandRow
from connectors.due_store import DoneRow, DueRun, KeptRecords
from connectors.payload_store import Payload
from connectors.postgres.base import PostgresStore
from connectors.postgres.connection import Connection
from connectors.postgres.payload_store import read_payload
from connectors.postgres.statement import statement
from connectors.postgres.upload_store import upload_of
from connectors.views import OverdueView
from schemas.errors import SluiceError
from schemas.records import Upload

_LEADER_LOCK = 0x71C5  # any fixed number; one lock per database


class PostgresDueStore(PostgresStore):
    """Implements `connectors.due_store.DueStore`."""

    application = "sluice timekeeper"
    # The server ends a session that is silent for six seconds and releases its lock. A leader sends five statements a second.
    session = "SET plan_cache_mode = force_custom_plan; SET idle_session_timeout = '6s'"
    prepared = ("mark_done",)
    _leads = False

    def lead(self) -> bool:
        if not self._leads:
            with self._connected("asking for leadership") as connection:
                row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LEADER_LOCK,)).fetchone()
            self._leads = row is not None and bool(row[0])
        return self._leads

    def keep_leading(self) -> None:
        with self._connected("keeping leadership") as connection:
            connection.execute("SELECT 1")

    def due(self, limit: int) -> list[DueRun]:
        return [_due(row) for row in self._rows("due_runs", limit=limit)]

    def open_cancels(self, grace: timedelta, limit: int) -> list[DueRun]:
        return [_due(row) for row in self._rows("open_cancels", grace=grace, limit=limit)]

    def requests_gone(self, kept: Sequence[KeptRecords], limit: int) -> list[DueRun]:
        topics, partitions, begins = (
            [UUID(bytes=row[0]) for row in kept],
            [row[1] for row in kept],
            [row[2] for row in kept],
        )
        rows = self._rows("requests_gone", topics=topics, partitions=partitions, begins=begins, limit=limit)
        return [_due(row) for row in rows]

    def silent(self, older_than: timedelta, limit: int) -> list[DueRun]:
        return [_due(row) for row in self._rows("silent_runs", age=older_than, limit=limit)]

    def unsent(self, limit: int) -> list[Payload]:
        return [read_payload(row) for row in self._rows("unsent", limit=limit)]

    def unsent_uploads(self, limit: int) -> list[Upload]:
        return [upload_of(row) for row in self._rows("unsent_uploads", limit=limit)]

    def mark_uploads_published(self, upload_ids: Sequence[str]) -> None:
        if upload_ids:
            self._rows("mark_uploads_published", upload_ids=[UUID(one) for one in upload_ids])

    def expired_uploads(self, limit: int) -> list[tuple[str, list[str]]]:
        return [(row["upload_id"], row["names"]) for row in self._rows("expired_uploads", limit=limit)]

    def end_batches(self, limit: int) -> tuple[int, int]:
        with self._connected("ending batches") as connection, connection.transaction():
            rows = self._rows("due_batches", limit=limit)
            if not rows:
                return 0, 0
            waits, bodies = [], []
            for row in rows:
                now = row.pop("now")
                batch = BatchView(**row, ended_at=None)
                waits.append(batch.look_again_in_s(now))
                bodies.append(Jsonb(batch.event_data()))
            ids = [UUID(row["batch_id"]) for row in rows]
            self._rows("end_batches", ids=ids, wait_s=waits, bodies=bodies)
        return len(rows), waits.count(None)

    def mark_done(self, rows: Sequence[DoneRow]) -> None:
        with self._connected("marking due runs as done") as connection:
            statement("mark_done").run(connection, p=sorted(rows))

    def prune(self, older_than: timedelta, limit: int) -> int:
        return int(self._rows("prune", age=older_than, limit=limit)[0]["pruned"])

    def last_commands(self) -> list[CommandRow]:
        return [CommandRow(**row) for row in self._rows("last_commands")]

    def overdue(self, older_than: timedelta) -> list[OverdueView]:
        return [OverdueView(**row) for row in self._rows("overdue", age=older_than)]

    def close(self) -> None:
        """Disconnect, which releases leadership."""
        super().close()
        self._leads = False

    @contextmanager
    def _connected(self, doing: str) -> Iterator[Connection]:
        """Also close the connection after any error, so that a store that may have lost leadership asks for it again."""
        try:
            with super()._connected(doing) as connection:
                yield connection
        except SluiceError:
            self.close()
            raise


def _due(row: dict[str, Any]) -> DueRun:
    return DueRun(**{**row, "topic_id": row["topic_id"].bytes if row["topic_id"] else None})
