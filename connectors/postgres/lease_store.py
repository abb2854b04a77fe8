"""Custody by lease on Postgres: rows that are locked with SKIP LOCKED, and a notification when there is something to claim."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.pq import ConnStatus
from psycopg.rows import dict_row

from connectors.lease_store import EXECUTIONS, Expired, Grant, HeartbeatAnswer, Hold, RunKey
from connectors.postgres.connection import Connection, connect, translated
from connectors.postgres.statement import query
from schemas.records import Coordinates

#: Told by store_leases.sql and whatever else makes a job claimable; the payload is the processor's name.
CHANNEL = "sluice_leases"


class PostgresLeaseStore:
    """See `connectors.lease_store.LeaseStore`. Connects at first use, and again after a lost connection."""

    def __init__(self, dsn: str, *, application: str = "sluice leases") -> None:
        self._dsn = dsn
        self._application = application
        self._connection: Connection | None = None
        self._listening = False

    def claim(
        self,
        processor: str,
        worker_id: str,
        count: int,
        lease_s: float,
        *,
        executions: int = EXECUTIONS,
        wait_s: float = 0.0,
    ) -> list[Grant]:
        wanted = {"processor": processor, "worker": worker_id, "count": count, "executions": executions}
        wanted["lease"] = timedelta(seconds=lease_s)
        if wait_s > 0:
            self._listen()
        until = time.monotonic() + wait_s
        while True:  # what we are told of may have been granted to another, or to us just before
            rows = self._fetch("claim_leases", **wanted)
            if rows or not self._told_before(until, processor):
                return [_grant(row) for row in rows]

    def heartbeat(self, worker_id: str, holds: Sequence[Hold], lease_s: float) -> HeartbeatAnswer:
        if not holds:
            return HeartbeatAnswer()
        rows = self._fetch(
            "renew_leases",
            worker=worker_id,
            lease=timedelta(seconds=lease_s),
            jobs=[UUID(hold.job_id) for hold in holds],
            runs=[hold.run for hold in holds],
            fences=[hold.fence for hold in holds],
            executions=[hold.execution for hold in holds],
            crashes=[hold.crashes for hold in holds],
        )
        renewed = {RunKey(row["job_id"], row["run"]): row["cancelled"] for row in rows}
        return HeartbeatAnswer(
            renewed=frozenset(renewed),
            lost=frozenset(hold.key for hold in holds) - renewed.keys(),
            cancelled=frozenset(key for key, cancelled in renewed.items() if cancelled),
        )

    def release(self, job_id: str, run: int, fence: int, *, started: bool) -> bool:
        return bool(self._fetch("release_lease", job_id=UUID(job_id), run=run, fence=fence, started=started))

    def settle(self, job_id: str, run: int, fence: int) -> bool:
        return bool(self._fetch("settle_lease", job_id=UUID(job_id), run=run, fence=fence))

    def expire(self, limit: int) -> list[Expired]:
        return [_expired(row) for row in self._fetch("expire_leases", limit=limit)]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._listening = None, False

    # ── waiting ──

    def _listen(self) -> None:
        """Before the first look: what becomes claimable between a look and the wait is told all the same."""
        if not self._listening:
            with self._talk("listening") as connection:
                connection.execute(f"LISTEN {CHANNEL}".encode())
            self._listening = self._connection is not None

    def _told_before(self, until: float, processor: str) -> bool:
        """Whether something of this processor became claimable; waits for it."""
        with self._talk("waiting for a job") as connection:
            while (left := until - time.monotonic()) > 0:
                if any(told.payload == processor for told in connection.notifies(timeout=left, stop_after=1)):
                    return True
        return False

    def _fetch(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        with self._talk(name.replace("_", " ")) as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query(name), parameters).fetchall()

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
        # Planned anew each time: these tables go from empty to full, and a handful of statements a second cost nothing.
        connection.execute("SET plan_cache_mode = force_custom_plan")
        self._connection = connection
        return connection


def _grant(row: dict[str, Any]) -> Grant:
    return Grant(**_request(row))


def _expired(row: dict[str, Any]) -> Expired:
    return Expired(**_request(row) | {"worker": row["worker"] or ""})


def _request(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its request's headers and coordinates as the port has them."""
    topic, topic_id = row.pop("topic"), row.pop("topic_id")
    partition, offset = row.pop("partition"), row.pop("offset")
    known = None if offset is None else Coordinates(topic or "", partition, offset, str(topic_id) if topic_id else "")
    headers = tuple((name, text.encode()) for name, text in row["headers"])
    return row | {"headers": headers, "coordinates": known}
