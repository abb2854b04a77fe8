"""Custody by lease in memory: the statements claim_leases, renew_leases, release_lease, settle_lease and expire_leases."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from connectors.lease_store import EXECUTIONS, Expired, Grant, HeartbeatAnswer, Hold
from connectors.memory.database import MemoryDatabase, StoredKey
from connectors.memory.tables import StoredLease
from schemas.records import Coordinates


class MemoryLeaseStore:
    """See `connectors.lease_store.LeaseStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._db = database

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
        until = time.monotonic() + wait_s
        with self._db.changed:
            while True:
                found = self._claim(processor, worker_id, count, timedelta(seconds=lease_s), executions)
                left = until - time.monotonic()
                if found or left <= 0:
                    return found
                self._db.changed.wait(left)

    def heartbeat(self, worker_id: str, holds: Sequence[Hold], lease_s: float) -> HeartbeatAnswer:
        with self._db.reading() as now:
            renewed = [hold for hold in holds if self._renew(worker_id, hold, now + timedelta(seconds=lease_s))]
            return HeartbeatAnswer(
                renewed=frozenset(hold.key for hold in renewed),
                lost=frozenset(hold.key for hold in holds) - {hold.key for hold in renewed},
                cancelled=frozenset(hold.key for hold in renewed if self._cancelled(_key(hold.job_id, hold.run))),
            )

    def release(self, job_id: str, run: int, fence: int, *, started: bool) -> bool:
        with self._db.writing():
            lease = self._held(_key(job_id, run), fence)
            if lease is None:
                return False
            lease.state, lease.worker, lease.expires_at = "waiting", None, None
            lease.execution += started
            return True

    def settle(self, job_id: str, run: int, fence: int) -> bool:
        with self._db.writing():
            lease = self._held(_key(job_id, run), fence)
            if lease is None:
                return False
            lease.state, lease.expires_at = "settled", None
            return True

    def expire(self, limit: int) -> list[Expired]:
        with self._db.reading() as now:
            out = [
                (one.expires_at, key)
                for key, one in self._db.leases.items()
                if one.expires_at and one.expires_at <= now
            ]
            found = [self._expire(self._db.leases[key], now) for _, key in sorted(out)[:limit]]
            if found:
                self._db.changed.notify_all()
            return [one for one in found if one is not None]

    def close(self) -> None:
        """Nothing to give back."""

    # ── claims ──

    def _claim(self, processor: str, worker: str, count: int, lasts: timedelta, executions: int) -> list[Grant]:
        with self._db.reading() as now:
            waiting = [one for one in self._db.leases.values() if self._may_be_claimed(one, processor, now)]
            waiting.sort(key=lambda one: one.rank)
            for one in waiting[:count]:
                one.state, one.worker, one.executions = "held", worker, executions
                one.fence, one.expires_at = next(self._db.fences), now + lasts
            return [Grant(**self._request(one), **_granted(self._db, one)) for one in waiting[:count]]

    def _may_be_claimed(self, one: StoredLease, processor: str, now: datetime) -> bool:
        key, order = (one.job_id, one.run), self._db.commands.get(processor)
        run = self._db.runs.get(key)
        if one.state != "waiting" or one.processor != processor or run is None or key not in self._db.payloads:
            return False
        if run.state not in ("PENDING", "PROCESSING") or (run.deadline is not None and run.deadline <= now):
            return False
        return not self._cancelled(key) and (order is None or order.action != "pause")

    def _cancelled(self, key: StoredKey) -> bool:
        order = self._db.cancels.get(key)
        return order is not None and order.ended_at is None

    # ── what is held ──

    def _held(self, key: StoredKey, fence: int) -> StoredLease | None:
        lease = self._db.leases.get(key)
        return lease if lease is not None and (lease.state, lease.fence) == ("held", fence) else None

    def _renew(self, worker: str, hold: Hold, until: datetime) -> bool:
        lease = self._held(_key(hold.job_id, hold.run), hold.fence)
        if lease is None or lease.worker != worker:
            return False
        lease.expires_at, lease.execution = until, max(lease.execution, hold.execution)
        lease.crashes = max(lease.crashes, hold.crashes)
        return True

    def _expire(self, one: StoredLease, now: datetime) -> Expired | None:
        given_up = one.state == "lost" or one.crashes + 1 >= one.executions
        known = (one.job_id, one.run) in self._db.payloads
        told = Expired(**self._request(one), worker=one.worker or "", given_up=given_up) if known else None
        one.crashes += one.state == "held"
        one.state = "lost" if given_up else "waiting"
        one.execution += not given_up
        one.worker = one.worker if given_up else None
        one.expires_at = now + timedelta(minutes=1) if given_up else None
        return told

    def _request(self, one: StoredLease) -> dict[str, Any]:
        """What a grant and an expiry both tell."""
        payload, place, where = self._db.payloads[one.job_id, one.run], one.place, None
        if place is not None:
            topic = self._db.topics.get(place.topic_id, "")
            where = Coordinates(topic, place.partition, place.offset, str(UUID(bytes=place.topic_id)))
        return {
            "job_id": str(UUID(bytes=one.job_id)),
            "run": one.run,
            "attempt": one.attempt,
            "execution": one.execution,
            "processor": one.processor,
            "key": payload.key,
            "value": payload.value,
            "headers": tuple((name, text.encode()) for name, text in payload.headers),
            "coordinates": where,
        }


def _granted(database: MemoryDatabase, one: StoredLease) -> dict[str, Any]:
    return {
        "crashes": one.crashes,
        "fence": one.fence,
        "lane": one.lane,
        "accepted_at": database.payloads[one.job_id, one.run].accepted_at,
        "expires_at": one.expires_at,
    }


def _key(job_id: str, run: int) -> StoredKey:
    return UUID(job_id).bytes, run
