"""The audit's reads in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from connectors.audit_store import (
    AuditedRun,
    AuditKey,
    AuditState,
    ListedRun,
    OutcomeDelivery,
    ReadOffsets,
    StoredOutcomeView,
)
from connectors.memory.database import MemoryStore
from connectors.memory.tables import OPEN, StoredOutcome
from connectors.sink_store import LogPosition
from schemas.commands import PAUSE

#: Attempt, time and place of a request.
_Request = tuple[int, datetime, LogPosition]


class MemoryAuditStore(MemoryStore):
    """Implements `connectors.audit_store.AuditStore`."""

    def state(self, group: str) -> AuditState:
        db = self._db
        with db.reading() as now:
            offsets = {
                (topic_id, partition): ReadOffsets(row.next_offset, row.published)
                for (group_id, topic_id, partition), row in db.offsets.items()
                if group_id == group
            }
            paused = frozenset(name for name, command in db.commands.items() if command.action == PAUSE)
            return AuditState(now, "memory", dict(db.topics), offsets, paused)

    def runs(self, keys: Sequence[AuditKey]) -> list[AuditedRun]:
        with self._db.reading():
            deliveries, requests = self._of_runs(frozenset(keys))
            return [self._audited(key, deliveries[key], requests[key]) for key in keys]

    def unrecorded(self, records: Iterable[tuple[bytes, LogPosition]]) -> list[LogPosition]:
        with self._db.reading():
            return [place for job_id, place in records if (job_id, place) not in self._db.history]

    def requested(
        self, since: datetime, until: datetime, limit: int, after: tuple[datetime, bytes, int] | None = None
    ) -> list[ListedRun]:
        db = self._db
        with db.reading():
            found = sorted(
                (run.requested_at, *key)
                for key, run in db.runs.items()
                if since <= run.requested_at < until and key[0] in db.jobs
            )
            wanted = [row for row in found if after is None or row > after][:limit]
            return [self._listed((job_id, run)) for _, job_id, run in wanted]

    def waiting(self, since: datetime, until: datetime, limit: int) -> list[AuditKey]:
        db = self._db
        with db.reading():
            found = sorted(
                (row.accepted_at, key)
                for key, row in db.payloads.items()
                if row.check_at is not None
                and since <= row.accepted_at < until
                and key not in db.runs
                and key not in db.outcomes
            )
            return [key for _, key in found[:limit]]

    # ── parts of the above ──

    def _listed(self, key: AuditKey) -> ListedRun:
        run, outcome = self._db.runs[key], self._db.outcomes.get(key)
        processor = self._db.jobs[key[0]].processor
        decided_at = None if outcome is None else outcome.decided_at
        return ListedRun(*key, processor, run.position, run.requested_at, decided_at)

    def _of_runs(
        self, keys: frozenset[AuditKey]
    ) -> tuple[dict[AuditKey, list[OutcomeDelivery]], dict[AuditKey, list[_Request]]]:
        """Return the callbacks and the requests of these runs."""
        deliveries, requests = (
            defaultdict[AuditKey, list[OutcomeDelivery]](list),
            defaultdict[AuditKey, list[_Request]](list),
        )
        for delivery in self._db.deliveries.values():
            if (key := (delivery.job_id, delivery.run)) in keys and delivery.kind == "outcome":
                id_ = str(UUID(bytes=delivery.delivery_id))
                deliveries[key].append(OutcomeDelivery(id_, delivery.state, delivery.due_at))
        for row in self._db.history.values():
            if (key := (row.job_id, row.run)) in keys and row.kind == "request":
                requests[key].append((row.attempt, row.at, row.position))
        return deliveries, requests

    def _audited(
        self, key: AuditKey, deliveries: Sequence[OutcomeDelivery], requests: Sequence[_Request]
    ) -> AuditedRun:
        db = self._db
        job, run, payload, lease = db.jobs.get(key[0]), db.runs.get(key), db.payloads.get(key), db.leases.get(key)
        made = AuditedRun(*key, outcome=_outcome(db.outcomes.get(key)), deliveries=tuple(deliveries))
        if job is not None:
            made = made._replace(
                processor=job.processor, tenant=job.tenant, callback=bool(job.callback_url), erased=job.erased_at is not None
            )  # fmt: skip
        if payload is not None:
            made = made._replace(
                processor=made.processor or payload.processor,
                tenant=made.tenant or payload.tenant,
                payload_at=payload.accepted_at,
                check_at=payload.check_at,
            )
        if run is not None:
            last = max(requests, default=None) if run.state in OPEN else None
            made = made._replace(
                mode=run.mode,
                state=run.state,
                attempt=run.attempt,
                due_at=run.due_at,
                due_kind=run.due_kind,
                updated_at=run.updated_at,
                place=run.position,
                request_attempt=None if last is None else last[0],
                request_place=None if last is None else last[2],
            )
        return made if lease is None else made._replace(lease=lease.state)


def _outcome(row: StoredOutcome | None) -> StoredOutcomeView | None:
    if row is None:
        return None
    output = None if row.output is None else row.output.decode()
    return StoredOutcomeView(row.status, row.attempt, row.error_code, output, row.position, row.decided_at)
