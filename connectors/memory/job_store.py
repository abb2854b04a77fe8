"""Reads of the job tables in memory."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from connectors.job_store import ANY_JOB, JobFilter
from connectors.memory.database import MemoryStore, StoredKey
from connectors.memory.job_lists import grouped, is_wanted, row_of
from connectors.memory.tables import OPEN, StoredCancel, StoredDelivery, StoredHistory, StoredOutcome, StoredRun
from connectors.sink_store import LogPosition
from connectors.views import (
    Backlog,
    CancelView,
    DeliveryView,
    EndedJobs,
    HistoryLine,
    JobGroup,
    JobRow,
    JobStatus,
    JobView,
    OpenJobs,
    Receipt,
    TryView,
)
from schemas.ids import is_job_id
from schemas.records import Claim, Coordinates, ErrorInfo


class MemoryJobStore(MemoryStore):
    """Implements `connectors.job_store.JobStore`."""

    def job(self, job_id: str, run: int | None = None) -> JobView | None:
        if not is_job_id(job_id):
            return None
        with self._db.reading():
            job = self._db.jobs.get(UUID(job_id).bytes)
            if job is None:
                return None
            key = (job.job_id, job.current_run if run is None else run)
            return self._view(key) if key in self._db.runs else None

    def find(
        self, wanted: JobFilter = ANY_JOB, *, limit: int = 50, after: tuple[datetime, str] | None = None
    ) -> list[JobRow]:
        rows = self._rows(wanted)
        rows.sort(key=lambda row: (row.requested_at, row.job_id), reverse=True)
        return [row for row in rows if after is None or (row.requested_at, row.job_id) < after][:limit]

    def groups(self, wanted: JobFilter, by: str, *, limit: int = 100) -> list[JobGroup]:
        return grouped(self._rows(wanted), by, limit)

    def _rows(self, wanted: JobFilter) -> list[JobRow]:
        with self._db.reading():
            return [row_of(self._db, run) for run in self._current() if is_wanted(self._db, run, wanted)]

    def status(self, job_id: str, run: int | None = None, tenant: str | None = None) -> JobStatus | None:
        if not is_job_id(job_id):
            return None
        with self._db.reading():
            job = self._db.jobs.get(UUID(job_id).bytes)
            if job is None or tenant not in (None, job.tenant):
                return None
            found = self._db.runs.get((job.job_id, job.current_run if run is None else run))
            return None if found is None else self._status(found)

    def statuses(
        self, wanted: JobFilter, *, limit: int = 50, after: tuple[datetime, str] | None = None
    ) -> list[JobStatus]:
        with self._db.reading():
            rows = [self._status(run) for run in self._current() if is_wanted(self._db, run, wanted)]
        rows.sort(key=lambda row: (row.created_at, row.job_id), reverse=True)
        return [row for row in rows if after is None or (row.created_at, row.job_id) < after][:limit]

    def statuses_of(self, job_ids: Sequence[str], tenant: str | None = None) -> list[JobStatus]:
        found = [self.status(job_id, tenant=tenant) for job_id in dict.fromkeys(job_ids)]
        return [status for status in found if status is not None]

    def counts(self, *, batch_id: str | None = None) -> dict[str, int]:
        with self._db.reading():
            jobs = self._db.jobs
            wanted = [run for run in self._current() if batch_id is None or jobs[run.job_id].batch_id == batch_id]
        return dict(sorted(Counter(run.state for run in wanted).items()))

    def backlog(self, since: datetime | None = None) -> Backlog:
        with self._db.reading() as now:
            jobs = self._db.jobs
            counted = Counter(
                (jobs[run.job_id].tenant, jobs[run.job_id].processor, run.lane, _waits_as(run))
                for run in self._current()
                if run.state in OPEN
            )
            counted.update(
                (row.tenant, row.processor, row.lane, "PENDING")
                for key, row in self._db.payloads.items()
                if row.tenant is not None and row.check_at is not None and key not in self._db.runs
            )
            ended: dict[str, list[float | None]] = {}
            for outcome in self._db.outcomes.values() if since is not None else ():
                if since is not None and outcome.decided_at > since and outcome.job_id in jobs:
                    ended.setdefault(jobs[outcome.job_id].processor, []).append(outcome.run_ms)
            return Backlog(
                now,
                [OpenJobs(*key, count) for key, count in sorted(counted.items())],
                [_ended(processor, times) for processor, times in sorted(ended.items())],
            )

    def _current(self) -> list[StoredRun]:
        runs = ((job.job_id, job.current_run) for job in self._db.jobs.values())
        return [self._db.runs[key] for key in runs if key in self._db.runs]

    def _status(self, run: StoredRun) -> JobStatus:
        job, outcome = self._db.jobs[run.job_id], self._db.outcomes.get((run.job_id, run.run))
        return JobStatus(
            job_id=str(UUID(bytes=run.job_id)),
            run=run.run,
            processor=job.processor,
            tenant=job.tenant,
            lane=run.lane,
            state=run.state,
            attempt=run.attempt,
            stage=run.stage,
            percent=run.percent,
            message=run.message,
            created_at=job.created_at,
            updated_at=run.updated_at,
            deadline=run.deadline,
            external_id=job.external_id,
            case_id=job.case_id,
            upload_id=job.upload_id,
            batch_id=job.batch_id,
            labels=_json(job.labels) or {},
            error_code=None if outcome is None else outcome.error_code,
            error_message=None if outcome is None else outcome.error_message,
            finished_at=None if outcome is None else outcome.decided_at,
        )

    def _view(self, key: StoredKey) -> JobView:
        job, run = self._db.jobs[key[0]], self._db.runs[key]
        outcome = self._db.outcomes.get(key)
        deliveries = sorted(
            (one for one in self._db.deliveries.values() if one.job_id == job.job_id), key=lambda d: (d.run, d.sequence)
        )
        history = sorted(
            (entry for entry in self._db.history.values() if entry.job_id == job.job_id),
            key=lambda entry: (entry.run, entry.at, entry.attempt, entry.kind),
        )
        return JobView(
            job_id=str(UUID(bytes=job.job_id)),
            run=run.run,
            state=run.state,
            processor=job.processor,
            tenant=job.tenant,
            mode=run.mode,
            lane=run.lane,
            attempt=run.attempt,
            execution=run.execution,
            owner=run.owner,
            stage=run.stage,
            percent=run.percent,
            message=run.message,
            due_at=run.due_at,
            due_kind=run.due_kind,
            deadline=run.deadline,
            external_id=job.external_id,
            case_id=job.case_id,
            upload_id=job.upload_id,
            batch_id=job.batch_id,
            callback_url=job.callback_url,
            labels=_json(job.labels) or {},
            input_sha256=job.input_sha256,
            requested_at=run.requested_at,
            updated_at=run.updated_at,
            request=self._coordinates(run.position),
            deliveries=[_delivery(one) for one in deliveries],
            history=[self._history_line(entry) for entry in history],
            cancel=_cancel(self._db.cancels.get(key)),
            receipt=None if outcome is None else _receipt(outcome, job.input_sha256),
            **self._ending(outcome),
        )

    def _ending(self, outcome: StoredOutcome | None) -> dict[str, Any]:
        names = ("started_at", "finished_at", "decided_at", "run_ms", "device", "device_note", "model_version")
        error = None
        if outcome is not None and outcome.error_code is not None:
            error = ErrorInfo(outcome.error_code, outcome.error_message or "", "", outcome.fingerprint or "")
        return {
            **{name: getattr(outcome, name, None) for name in names},
            "output": None if outcome is None else _json(outcome.output),
            "error": error,
            "refs": [] if outcome is None else [Claim(**claim) for claim in _json(outcome.refs) or ()],
            "result": None if outcome is None else self._coordinates(outcome.position),
        }

    def _history_line(self, entry: StoredHistory) -> HistoryLine:
        coordinates = self._coordinates(entry.position)
        assert coordinates is not None
        reason = (_json(entry.body) or {}).get("reason")
        return HistoryLine(entry.at, entry.kind, entry.run, entry.attempt, coordinates, reason)

    def _coordinates(self, position: LogPosition | None) -> Coordinates | None:
        if position is None:
            return None
        printed = base64.urlsafe_b64encode(position.topic_id).decode().rstrip("=")
        return Coordinates(self._db.topics.get(position.topic_id, ""), position.partition, position.offset, printed)


def _receipt(outcome: StoredOutcome, input_sha256: str) -> Receipt:
    return Receipt(
        outcome.input_sha256 or input_sha256 or None,
        outcome.model_version or None,
        outcome.model_sha256,
        outcome.code_version,
        outcome.device or None,
        outcome.reused_from,
    )


def _waits_as(run: StoredRun) -> str:
    return "DELAYED" if run.state == "PENDING" and run.due_kind == "not_before" else run.state


def _ended(processor: str, run_ms: list[float | None]) -> EndedJobs:
    timed = [time for time in run_ms if time is not None]
    return EndedJobs(processor, len(run_ms), len(timed), sum(timed) / 1000)


def _delivery(one: StoredDelivery) -> DeliveryView:
    due_at = one.due_at if one.state == "pending" else None
    tries = [TryView(row.n, row.at, row.status, row.ms, row.error) for row in one.try_rows]
    delivery_id = str(UUID(bytes=one.delivery_id))
    return DeliveryView(delivery_id, one.run, one.kind, one.destination, one.state, due_at, one.ended_at, tries)


def _cancel(one: StoredCancel | None) -> CancelView | None:
    return None if one is None else CancelView(one.requested_at, one.requested_by, one.reason)


def _json(document: bytes | None) -> Any:
    return None if document is None else json.loads(document)
