"""Custody by lease on Postgres: rows locked with SKIP LOCKED, and a notification when a job becomes claimable."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from connectors.lease_store import (
    ALIVE_S,
    EXECUTIONS,
    LARGEST_COUNT,
    NOTED_S,
    Expired,
    Grant,
    HeartbeatAnswer,
    Hold,
    LeaseView,
    RunKey,
)
from connectors.postgres.base import PostgresStore
from schemas.records import Coordinates

#: Notified by every statement that makes a job claimable; the payload is the processor's name.
CHANNEL = "sluice_leases"
#: Seconds of one wait for a notification.
WAIT_S = 5.0


class PostgresLeaseStore(PostgresStore):
    """Implements `connectors.lease_store.LeaseStore`."""

    application = "sluice leases"
    # Plans are made for each statement: these tables go from empty to full, and a handful of statements a second cost little.
    session = "SET plan_cache_mode = force_custom_plan"
    _listening = False

    def __init__(self, dsn: str, *, application: str | None = None) -> None:
        super().__init__(dsn, application=application)
        #: When a worker was last noted, monotonic, by processor and worker.
        self._noted: dict[tuple[str, str], float] = {}

    def claim(
        self,
        processor: str,
        worker_id: str,
        count: int,
        lease_s: float,
        *,
        executions: int = EXECUTIONS,
        wait_s: float = 0.0,
        tenant: str | None = None,
        offered: bool = False,
    ) -> list[Grant]:
        parameters: dict[str, Any] = {
            "processor": processor,
            "worker": worker_id,
            "count": count,
            "executions": executions,
            "tenant": tenant,
            "state": "offered" if offered else "held",
        }
        parameters["lease"] = timedelta(seconds=lease_s)
        if not offered:
            self._note(processor, worker_id)
        if wait_s > 0:
            self._listen()
        until = time.monotonic() + wait_s
        while True:  # a notified job may have been granted to another worker meanwhile, or to this one just before
            rows = self._rows("claim_leases", **parameters)
            if rows or not self._notified(until, processor):
                return [_grant(row) for row in rows]

    def heartbeat(self, worker_id: str, holds: Sequence[Hold], lease_s: float) -> HeartbeatAnswer:
        if not holds:
            return HeartbeatAnswer()
        rows = self._rows(
            "renew_leases",
            worker=worker_id,
            lease=timedelta(seconds=lease_s),
            jobs=[UUID(hold.job_id) for hold in holds],
            runs=[hold.run for hold in holds],
            fences=[hold.fence for hold in holds],
            executions=[hold.execution for hold in holds],
            crashes=[hold.crashes for hold in holds],
            most=LARGEST_COUNT,
        )
        renewed = {RunKey(row["job_id"], row["run"]): row["cancelled"] for row in rows}
        return HeartbeatAnswer(
            renewed=frozenset(renewed),
            lost=frozenset(hold.key for hold in holds) - renewed.keys(),
            cancelled=frozenset(key for key, cancelled in renewed.items() if cancelled),
        )

    def release(self, job_id: str, run: int, fence: int, *, started: bool) -> bool:
        parameters: dict[str, Any] = {"job_id": UUID(job_id), "run": run, "fence": fence, "started": started}
        return bool(self._rows("release_lease", **parameters, most=LARGEST_COUNT))

    def resume(self, worker_id: str, hold: Hold, lease_s: float) -> bool:
        lease, job_id = timedelta(seconds=lease_s), UUID(hold.job_id)
        parameters: dict[str, Any] = {"job_id": job_id, "run": hold.run, "fence": hold.fence}
        return bool(self._rows("resume_lease", worker=worker_id, lease=lease, **parameters))

    def settle(self, job_id: str, run: int, fence: int) -> bool:
        return bool(self._rows("settle_lease", job_id=UUID(job_id), run=run, fence=fence))

    def expire(self, limit: int) -> list[Expired]:
        return [_expired(row) for row in self._rows("expire_leases", limit=limit, most=LARGEST_COUNT)]

    def find(self, job_id: str, run: int) -> LeaseView | None:
        rows = self._rows("find_lease", job_id=UUID(job_id), run=run)
        return LeaseView(**_request(rows[0])) if rows else None

    def live_workers(self, processor: str) -> frozenset[str]:
        rows = self._rows("live_lease_workers", processor=processor, within=timedelta(seconds=ALIVE_S))
        return frozenset(row["worker"] for row in rows)

    def wait(self, timeout_s: float) -> frozenset[str]:
        self._listen()
        with self._connected("waiting for jobs") as connection:
            return frozenset(notice.payload for notice in connection.notifies(timeout=timeout_s, stop_after=1))

    def close(self) -> None:
        super().close()
        self._listening = False

    def _note(self, processor: str, worker_id: str) -> None:
        """Note that a worker asks for jobs, unless that was done a moment ago."""
        now, key = time.monotonic(), (processor, worker_id)
        if now - self._noted.get(key, -NOTED_S) >= NOTED_S:
            self._rows("note_lease_worker", processor=processor, worker=worker_id)
            self._noted = {each: at for each, at in self._noted.items() if now - at < NOTED_S} | {key: now}

    # ── waiting ──

    def _listen(self) -> None:
        """Subscribe before the first look, so that a job that becomes claimable between a look and the wait is notified."""
        if not self._listening:
            with self._connected("listening") as connection:
                connection.execute(f"LISTEN {CHANNEL}".encode())
            self._listening = self._connection is not None

    def _notified(self, until: float, processor: str) -> bool:
        """Wait until a job of this processor becomes claimable; False if none did before `until` (monotonic seconds)."""
        while (left := until - time.monotonic()) > 0:
            with self._connected("waiting for a job") as connection:  # a call on it is bounded, so it waits in parts
                notices = [*connection.notifies(timeout=min(left, WAIT_S), stop_after=1)]
            if any(notice.payload == processor for notice in notices):
                return True
        return False


def _grant(row: dict[str, Any]) -> Grant:
    return Grant(**_request(row))


def _expired(row: dict[str, Any]) -> Expired:
    return Expired(**_request(row) | {"worker": row["worker"] or ""})


def _request(row: dict[str, Any]) -> dict[str, Any]:
    """Convert a row's headers and coordinates to the types of the port."""
    topic, topic_id = row.pop("topic"), row.pop("topic_id")
    partition, offset = row.pop("partition"), row.pop("offset")
    known = None if offset is None else Coordinates(topic or "", partition, offset, str(topic_id) if topic_id else "")
    headers = tuple((name, text.encode()) for name, text in row["headers"])
    return row | {"headers": headers, "coordinates": known}
