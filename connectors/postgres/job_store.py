"""Reads of the job tables for `sluice job`, `sluice jobs` and the console."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from connectors.job_store import ANY_JOB, GROUPINGS, JobFilter
from connectors.postgres.base import PostgresStore
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

#: Conditions of a filter that do not just compare a column of `jobs`. The state is compared twice so that a search for a rare
#: state may use the partial index of rare states.
_CONDITIONS = {
    "state": "r.state = %(state)s AND (%(state)s = 'COMPLETED' OR r.state <> 'COMPLETED')",
    "error_code": "o.error_code = %(error_code)s AND r.state <> 'COMPLETED'",
    "fingerprint": "o.fingerprint = %(fingerprint)s AND r.state <> 'COMPLETED'",
    "model_version": "o.model_version = %(model_version)s",
    "since": "r.requested_at >= %(since)s",
    "until": "r.requested_at < %(until)s",
}
_COLUMNS = {
    "processor": "j.processor",
    "state": "r.state",
    "error_code": "o.error_code",
    "fingerprint": "o.fingerprint",
}


class PostgresJobStore(PostgresStore):
    """Implements `connectors.job_store.JobStore`."""

    application = "sluice reader"

    def job(self, job_id: str, run: int | None = None) -> JobView | None:
        if not is_job_id(job_id):
            return None
        key = UUID(job_id)
        with self._snapshot():
            found = self._rows("job", job_id=key, run=run)
            if not found:
                return None
            deliveries = [_delivery(row) for row in self._rows("job_deliveries", job_id=key)]
            history = [_history_line(row) for row in self._rows("job_history", job_id=key)]
        return _job_view(found[0], deliveries, history)

    def find(
        self, wanted: JobFilter = ANY_JOB, *, limit: int = 50, after: tuple[datetime, str] | None = None
    ) -> list[JobRow]:
        conditions, values = _conditions(wanted)
        if after is not None:
            conditions.append("(r.requested_at, r.job_id) < (%(at)s, %(job_id)s)")
            values["at"], values["job_id"] = after
        places = {"wanted": " AND ".join(conditions) or "true"}
        return [JobRow(**row) for row in self._rows("find_jobs", places, limit=limit, **values)]

    def groups(self, wanted: JobFilter, by: str, *, limit: int = 100) -> list[JobGroup]:
        conditions, values = _conditions(wanted)
        if by == "error":
            conditions.append("o.error_code IS NOT NULL AND r.state <> 'COMPLETED'")
        places = {
            "wanted": " AND ".join(conditions) or "true",
            "keys": ", ".join(_COLUMNS[name] for name in GROUPINGS[by]),
        }
        rows = self._rows("job_groups", places, limit=limit, **values)
        return [JobGroup(**row) for row in rows]

    def status(self, job_id: str, run: int | None = None, tenant: str | None = None) -> JobStatus | None:
        if not is_job_id(job_id):
            return None
        places = {
            "run": "coalesce(%(run)s, j.current_run)",
            "wanted": f"j.job_id = %(job_id)s AND {_of_tenant(tenant)}",
        }
        found = self._rows("job_statuses", places, job_id=UUID(job_id), run=run, tenant=tenant, limit=1)
        return _status(found[0]) if found else None

    def statuses(
        self, wanted: JobFilter, *, limit: int = 50, after: tuple[datetime, str] | None = None
    ) -> list[JobStatus]:
        conditions, values = _conditions(wanted)
        if after is not None:
            conditions.append("(j.created_at, j.job_id) < (%(at)s, %(job_id)s)")
            values["at"], values["job_id"] = after
        places = {"run": "j.current_run", "wanted": " AND ".join(conditions) or "true"}
        return [_status(row) for row in self._rows("job_statuses", places, limit=limit, **values)]

    def statuses_of(self, job_ids: Sequence[str], tenant: str | None = None) -> list[JobStatus]:
        places = {"run": "j.current_run", "wanted": f"j.job_id = ANY(%(keys)s) AND {_of_tenant(tenant)}"}
        keys = [UUID(job_id) for job_id in job_ids if is_job_id(job_id)]
        return [_status(row) for row in self._rows("job_statuses", places, keys=keys, tenant=tenant, limit=len(keys))]

    def counts(self, *, batch_id: str | None = None) -> dict[str, int]:
        condition = "j.batch_id = %(batch_id)s" if batch_id else "true"
        return {
            row["state"]: row["jobs"] for row in self._rows("count_states", {"batch": condition}, batch_id=batch_id)
        }

    def backlog(self, since: datetime | None = None) -> Backlog:
        with self._snapshot():
            [clock] = self._rows("clock")
            open_ = [OpenJobs(**row) for row in self._rows("open_jobs")]
            ended = [] if since is None else [EndedJobs(**row) for row in self._rows("ended_jobs", since=since)]
        return Backlog(clock["at"], open_, ended)

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Run several reads on one snapshot, so that a view does not contradict itself."""
        with self._connected("reading a job") as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield


def _conditions(wanted: JobFilter) -> tuple[list[str], dict[str, Any]]:
    """Return a filter's conditions, and their values."""
    values = {name: value for name, value in asdict(wanted).items() if value is not None}
    return [_CONDITIONS.get(name, f"j.{name} = %({name})s") for name in values], values


def _of_tenant(tenant: str | None) -> str:
    return "true" if tenant is None else "j.tenant = %(tenant)s"


def _status(row: dict[str, Any]) -> JobStatus:
    return JobStatus(**{**row, "labels": row["labels"] or {}})


def _job_view(row: dict[str, Any], deliveries: list[DeliveryView], history: list[HistoryLine]) -> JobView:
    code, message, fingerprint = (row.pop(name) for name in ("error_code", "error_message", "fingerprint"))
    row["error"] = None if code is None else ErrorInfo(code, message or "", "", fingerprint or "")
    row["refs"] = [Claim(**claim) for claim in row["refs"] or ()]
    row["labels"] = row["labels"] or {}
    row["request"], row["result"] = _coordinates(row, "request_"), _coordinates(row, "result_")
    cancel, receipt = _cancel(row), _receipt(row)
    return JobView(**row, deliveries=deliveries, history=history, cancel=cancel, receipt=receipt)


def _receipt(row: dict[str, Any]) -> Receipt | None:
    """Remove the columns of the receipt alone from a row and return it; None before the run has ended."""
    model, code, reused, input_ = (
        row.pop(name) for name in ("model_sha256", "code_version", "reused_from", "run_input_sha256")
    )
    if row["decided_at"] is None:
        return None
    version, device = row["model_version"] or None, row["device"] or None
    return Receipt(input_ or row["input_sha256"] or None, version, model, code, device, reused)


def _cancel(row: dict[str, Any]) -> CancelView | None:
    """Remove the columns of the cancel from a row and return them as a view."""
    at, by, reason = (row.pop(f"cancel_{name}") for name in ("requested_at", "requested_by", "reason"))
    return None if at is None else CancelView(at, by, reason)


def _delivery(row: dict[str, Any]) -> DeliveryView:
    tries = [TryView(**{**each, "at": datetime.fromisoformat(each["at"])}) for each in row.pop("tries")]
    return DeliveryView(**row, tries=tries)


def _history_line(row: dict[str, Any]) -> HistoryLine:
    coordinates = _coordinates(row, "")
    assert coordinates is not None
    return HistoryLine(row["at"], row["kind"], row["run"], row["attempt"], coordinates, row["reason"])


def _coordinates(row: dict[str, Any], prefix: str) -> Coordinates | None:
    """Remove the coordinate columns that begin with `prefix` from a row and return them; None if the row has none."""
    topic, topic_id, partition, offset = (
        row.pop(f"{prefix}{name}") for name in ("topic", "topic_id", "partition", "offset")
    )
    if partition is None:
        return None
    printed = base64.urlsafe_b64encode(topic_id.bytes).decode().rstrip("=") if topic_id else ""
    return Coordinates(topic or "", partition, offset, printed)
