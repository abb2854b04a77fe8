"""Reads of the job tables: what `sluice job`, `sluice jobs` and the console show."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from psycopg.rows import dict_row

from connectors.postgres.connection import Connection, connect, translated
from connectors.postgres.statement import query
from connectors.views import CancelView, DeliveryView, HistoryLine, JobRow, JobView, TryView
from schemas.ids import is_job_id
from schemas.records import Claim, Coordinates, ErrorInfo


class PostgresJobStore:
    """See `connectors.job_store.JobStore`. Connects at first use."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def job(self, job_id: str, run: int | None = None) -> JobView | None:
        if not is_job_id(job_id):
            return None
        key = UUID(job_id)
        with self._transaction():
            found = self._fetch("job", job_id=key, run=run)
            if not found:
                return None
            deliveries = [_delivery(row) for row in self._fetch("job_deliveries", job_id=key)]
            history = [_history_line(row) for row in self._fetch("job_history", job_id=key)]
        return _job_view(found[0], deliveries, history)

    def find(
        self,
        *,
        state: str | None = None,
        processor: str | None = None,
        limit: int = 50,
        after: tuple[datetime, str] | None = None,
    ) -> list[JobRow]:
        wanted = {
            "state": "r.state = %(state)s AND (%(state)s = 'COMPLETED' OR r.state <> 'COMPLETED')" if state else "true",
            "processor": "j.processor = %(processor)s" if processor else "true",
            "after": "(r.requested_at, r.job_id) < (%(at)s, %(job_id)s)" if after else "true",
        }
        at, job_id = after or (None, None)
        rows = self._fetch("find_jobs", wanted, state=state, processor=processor, limit=limit, at=at, job_id=job_id)
        return [JobRow(**row) for row in rows]

    def counts(self, *, batch_id: str | None = None) -> dict[str, int]:
        wanted = {"batch": "j.batch_id = %(batch_id)s" if batch_id else "true"}
        return {row["state"]: row["jobs"] for row in self._fetch("count_states", wanted, batch_id=batch_id)}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _fetch(self, name: str, parts: Mapping[str, str] | None = None, **parameters: Any) -> list[dict[str, Any]]:
        sql = query(name)
        for part, condition in (parts or {}).items():
            sql = sql.replace(f"{{{part}}}".encode(), condition.encode())
        with translated("reading jobs"), self._connected().cursor(row_factory=dict_row) as cursor:
            return cursor.execute(sql, parameters).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One snapshot for several reads, so that a view does not contradict itself."""
        with translated("reading jobs"), self._connected().transaction():
            self._connected().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._dsn, application="sluice reader")
        return self._connection


def _job_view(row: dict[str, Any], deliveries: list[DeliveryView], history: list[HistoryLine]) -> JobView:
    code, message, fingerprint = (row.pop(name) for name in ("error_code", "error_message", "fingerprint"))
    row["error"] = None if code is None else ErrorInfo(code, message or "", "", fingerprint or "")
    row["refs"] = [Claim(**claim) for claim in row["refs"] or ()]
    row["labels"] = row["labels"] or {}
    row["request"], row["result"] = _coordinates(row, "request_"), _coordinates(row, "result_")
    cancel = _cancel(row)
    return JobView(**row, deliveries=deliveries, history=history, cancel=cancel)


def _cancel(row: dict[str, Any]) -> CancelView | None:
    """Takes the cancel out of a row."""
    at, by, reason = (row.pop(f"cancel_{name}") for name in ("requested_at", "requested_by", "reason"))
    return None if at is None else CancelView(at, by, reason)


def _delivery(row: dict[str, Any]) -> DeliveryView:
    tries = [TryView(**{**one, "at": datetime.fromisoformat(one["at"])}) for one in row.pop("tries")]
    return DeliveryView(**row, tries=tries)


def _history_line(row: dict[str, Any]) -> HistoryLine:
    coordinates = _coordinates(row, "")
    assert coordinates is not None
    return HistoryLine(row["at"], row["kind"], row["run"], row["attempt"], coordinates, row["reason"])


def _coordinates(row: dict[str, Any], prefix: str) -> Coordinates | None:
    """Takes the coordinates that begin with `prefix` out of a row."""
    topic, topic_id, partition, offset = (
        row.pop(f"{prefix}{name}") for name in ("topic", "topic_id", "partition", "offset")
    )
    if partition is None:
        return None
    printed = base64.urlsafe_b64encode(topic_id.bytes).decode().rstrip("=") if topic_id else ""
    return Coordinates(topic or "", partition, offset, printed)
