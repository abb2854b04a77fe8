"""Custody by lease in memory: the statements claim_leases, renew_leases, release_lease, resume_lease, settle_lease
and expire_leases."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from connectors.lease_store import ALIVE_S, EXECUTIONS, LARGEST_COUNT, Expired, Grant, HeartbeatAnswer, Hold, LeaseView
from connectors.memory.database import MemoryDatabase, MemoryStore, StoredKey
from connectors.memory.tables import StoredLease
from schemas.records import Coordinates


class MemoryLeaseStore(MemoryStore):
    """Implements `connectors.lease_store.LeaseStore`."""

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
        until = time.monotonic() + wait_s
        if not offered:
            with self._db.reading() as now:
                self._db.lease_workers[processor, worker_id] = now
        with self._db.changed:
            while True:
                state = "offered" if offered else "held"
                found = self._claim(processor, worker_id, count, timedelta(seconds=lease_s), executions, tenant, state)
                left = until - time.monotonic()
                if found or left <= 0:
                    return found
                self._db.changed.wait(left)

    def heartbeat(self, worker_id: str, holds: Sequence[Hold], lease_s: float) -> HeartbeatAnswer:
        with self._db.reading() as now:
            renewed = [hold for hold in holds if self._renew(worker_id, hold, now, timedelta(seconds=lease_s))]
            return HeartbeatAnswer(
                renewed=frozenset(hold.key for hold in renewed),
                lost=frozenset(hold.key for hold in holds) - {hold.key for hold in renewed},
                cancelled=frozenset(hold.key for hold in renewed if self._cancelled(_key(hold.job_id, hold.run))),
            )

    def release(self, job_id: str, run: int, fence: int, *, started: bool) -> bool:
        with self._db.writing():
            lease = self._held(_key(job_id, run), fence, "offered")
            if lease is None:
                return False
            lease.state, lease.worker, lease.expires_at = "waiting", None, None
            lease.execution = min(lease.execution + started, LARGEST_COUNT)
            return True

    def resume(self, worker_id: str, hold: Hold, lease_s: float) -> bool:
        with self._db.reading() as now:
            lease = self._db.leases.get(_key(hold.job_id, hold.run))
            if lease is None or lease.fence != hold.fence or not self._may_be_held(lease, now):
                return False
            lease.state, lease.worker, lease.expires_at = "held", worker_id, now + timedelta(seconds=lease_s)
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
                (lease.expires_at, key)
                for key, lease in self._db.leases.items()
                if lease.expires_at and lease.expires_at <= now
            ]
            found = [self._expire(self._db.leases[key], now) for _, key in sorted(out)[:limit]]
            if found:
                self._db.changed.notify_all()
            return [expired for expired in found if expired is not None]

    def find(self, job_id: str, run: int) -> LeaseView | None:
        with self._db.reading():
            lease = self._db.leases.get(_key(job_id, run))
            if lease is None or (lease.job_id, lease.run) not in self._db.payloads:
                return None
            fields = self._request(lease)
            del fields["job_id"], fields["run"]
            same = ("fence", "state", "lane", "crashes", "executions", "renewed_at", "expires_at")
            return LeaseView(**fields, worker=lease.worker or "", **{name: getattr(lease, name) for name in same})

    def live_workers(self, processor: str) -> frozenset[str]:
        with self._db.reading() as now:
            after = now - timedelta(seconds=ALIVE_S)
            asked = {
                worker for (name, worker), at in self._db.lease_workers.items() if name == processor and at > after
            }
            held = {
                lease.worker
                for lease in self._db.leases.values()
                if lease.processor == processor
                and lease.state == "held"
                and lease.renewed_at
                and lease.renewed_at > after
            }
            return frozenset(asked | {worker for worker in held if worker})

    def wait(self, timeout_s: float) -> frozenset[str]:
        with self._db.changed:
            self._db.changed.wait(timeout_s)
            return frozenset(lease.processor for lease in self._db.leases.values() if lease.state == "waiting")

    # ── claims ──

    def _claim(
        self,
        processor: str,
        worker: str,
        count: int,
        duration: timedelta,
        executions: int,
        tenant: str | None,
        state: str,
    ) -> list[Grant]:
        with self._db.reading() as now:
            waiting = [lease for lease in self._db.leases.values() if self._may_be_claimed(lease, processor, now)]
            waiting = [lease for lease in waiting if tenant in (None, self._db.jobs[lease.job_id].tenant)]
            waiting.sort(key=lambda lease: lease.rank)
            waiting = _without_mates_of_suspects(waiting[:count])
            for lease in waiting:
                lease.state, lease.worker, lease.executions = state, worker, executions
                lease.fence, lease.renewed_at, lease.expires_at = next(self._db.fences), now, now + duration
            return [Grant(**self._request(lease), **_granted(self._db, lease)) for lease in waiting]

    def _may_be_claimed(self, lease: StoredLease, processor: str, now: datetime) -> bool:
        command = self._db.commands.get(processor)
        return (
            lease.processor == processor
            and self._may_be_held(lease, now)
            and (lease.job_id, lease.run) in self._db.payloads
            and (command is None or command.action != "pause")
        )

    def _may_be_held(self, lease: StoredLease, now: datetime) -> bool:
        key = lease.job_id, lease.run
        run = self._db.runs.get(key)
        if lease.state != "waiting" or run is None or run.state not in ("PENDING", "PROCESSING"):
            return False
        return (run.deadline is None or run.deadline > now) and not self._cancelled(key)

    def _cancelled(self, key: StoredKey) -> bool:
        cancel = self._db.cancels.get(key)
        return cancel is not None and cancel.ended_at is None

    # ── held leases ──

    def _held(self, key: StoredKey, fence: int, *more_states: str) -> StoredLease | None:
        lease = self._db.leases.get(key)
        same = lease is not None and lease.fence == fence and lease.state in ("held", *more_states)
        return lease if same else None

    def _renew(self, worker: str, hold: Hold, now: datetime, duration: timedelta) -> bool:
        lease = self._held(_key(hold.job_id, hold.run), hold.fence, "offered")
        if lease is None or lease.worker != worker:
            return False
        lease.state = "held"
        lease.renewed_at, lease.expires_at = now, now + duration
        lease.execution = max(lease.execution, min(hold.execution, LARGEST_COUNT))
        lease.crashes = max(lease.crashes, min(hold.crashes, LARGEST_COUNT))
        return True

    def _expire(self, lease: StoredLease, now: datetime) -> Expired | None:
        given_up = lease.state == "lost" or (lease.state == "held" and lease.crashes + 1 >= lease.executions)
        offered = lease.state == "offered"
        known = (lease.job_id, lease.run) in self._db.payloads
        request = self._request(lease) | {"offered": offered}
        expired = Expired(**request, worker=lease.worker or "", given_up=given_up) if known else None
        lease.crashes = min(lease.crashes + (lease.state == "held"), LARGEST_COUNT)
        lease.state = "lost" if given_up else "waiting"
        lease.execution = min(lease.execution + (not given_up and not offered), LARGEST_COUNT)
        lease.worker = lease.worker if given_up else None
        lease.expires_at = now + timedelta(minutes=1) if given_up else None
        return expired

    def _request(self, lease: StoredLease) -> dict[str, Any]:
        """Return the fields that a grant and an expired lease have in common."""
        payload, position, coordinates = self._db.payloads[lease.job_id, lease.run], lease.position, None
        if position is not None:
            topic = self._db.topics.get(position.topic_id, "")
            coordinates = Coordinates(topic, position.partition, position.offset, str(UUID(bytes=position.topic_id)))
        return {
            "job_id": str(UUID(bytes=lease.job_id)),
            "run": lease.run,
            "attempt": lease.attempt,
            "execution": lease.execution,
            "processor": lease.processor,
            "key": payload.key,
            "value": payload.value,
            "headers": tuple((name, text.encode()) for name, text in payload.headers),
            "coordinates": coordinates,
        }


def _without_mates_of_suspects(leases: list[StoredLease]) -> list[StoredLease]:
    """Return the first lease alone if a worker died under its job, else those under which none died."""
    return leases[:1] if leases and leases[0].crashes else [lease for lease in leases if not lease.crashes]


def _granted(database: MemoryDatabase, lease: StoredLease) -> dict[str, Any]:
    return {
        "crashes": lease.crashes,
        "fence": lease.fence,
        "lane": lease.lane,
        "accepted_at": database.payloads[lease.job_id, lease.run].accepted_at,
        "expires_at": lease.expires_at,
    }


def _key(job_id: str, run: int) -> StoredKey:
    return UUID(job_id).bytes, run
