"""The audit's reads on Postgres: each page is one statement over all of its runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
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
from connectors.postgres.base import PostgresStore
from connectors.postgres.connection import MIGRATION
from connectors.sink_store import LogPosition
from schemas.commands import PAUSE

_AFTER = "(r.requested_at, r.job_id, r.run) > (%(at)s, %(job_id)s, %(run)s)"


class PostgresAuditStore(PostgresStore):
    """Implements `connectors.audit_store.AuditStore`."""

    application = "sluice audit"
    limits = MIGRATION  # a page of a large installation may take long

    def state(self, group: str) -> AuditState:
        with self._connected("reading the state of the audit") as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            [clock] = self._rows("audit_state")
            rows = self._rows("audit_offsets", group_id=group)
            paused = frozenset(row["processor"] for row in self._rows("last_commands") if row["action"] == PAUSE)
        return AuditState(
            clock["at"],
            clock["database"],
            {row["topic_id"].bytes: row["name"] for row in rows},
            {
                (row["topic_id"].bytes, row["partition"]): ReadOffsets(row["next_offset"], row["published_offset"])
                for row in rows
                if row["partition"] is not None
            },
            paused,
        )

    def runs(self, keys: Sequence[AuditKey]) -> list[AuditedRun]:
        if not keys:
            return []
        jobs, runs = [UUID(bytes=job_id) for job_id, _ in keys], [run for _, run in keys]
        return [_audited(row) for row in self._rows("audit_runs", jobs=jobs, runs=runs)]

    def unrecorded(self, records: Iterable[tuple[bytes, LogPosition]]) -> list[LogPosition]:
        wanted = list(records)
        if not wanted:
            return []
        rows = self._rows(
            "audit_unrecorded",
            jobs=[UUID(bytes=job_id) for job_id, _ in wanted],
            topics=[UUID(bytes=place.topic_id) for _, place in wanted],
            partitions=[place.partition for _, place in wanted],
            offsets=[place.offset for _, place in wanted],
        )
        return [wanted[row["n"] - 1][1] for row in rows]

    def requested(
        self, since: datetime, until: datetime, limit: int, after: tuple[datetime, bytes, int] | None = None
    ) -> list[ListedRun]:
        at, job_id, run = after or (None, None, None)
        rows = self._rows(
            "audit_requested",
            {"after": _AFTER if after else "true"},
            since=since,
            until=until,
            limit=limit,
            at=at,
            job_id=None if job_id is None else UUID(bytes=job_id),
            run=run,
        )
        return [
            ListedRun(
                row["job_id"].bytes, row["run"], row["processor"], _place(row, ""), row["requested_at"], row["decided_at"]
            )
            for row in rows
        ]  # fmt: skip

    def waiting(self, since: datetime, until: datetime, limit: int) -> list[AuditKey]:
        rows = self._rows("audit_waiting", since=since, until=until, limit=limit)
        return [(row["job_id"].bytes, row["run"]) for row in rows]


def _audited(row: dict[str, Any]) -> AuditedRun:
    outcome = None
    if row["status"] is not None:
        place = _place(row, "outcome_")
        assert place is not None
        outcome = StoredOutcomeView(
            row["status"], row["outcome_attempt"], row["error_code"], row["output"], place, row["decided_at"]
        )
    deliveries = () if row["ids"] is None else tuple(map(OutcomeDelivery, row["ids"], row["states"], row["due"]))
    return AuditedRun(
        row["job_id"].bytes,
        row["run"],
        row["processor"],
        row["tenant"],
        row["callback"],
        row["erased"],
        row["mode"],
        row["state"],
        row["attempt"],
        row["due_at"],
        row["due_kind"],
        row["updated_at"],
        _place(row, ""),
        row["request_attempt"],
        _place(row, "request_"),
        outcome,
        deliveries,
        row["lease"],
        row["payload_at"],
        row["check_at"],
    )


def _place(row: dict[str, Any], prefix: str) -> LogPosition | None:
    topic_id = row[f"{prefix}topic_id"]
    return None if topic_id is None else LogPosition(topic_id.bytes, row[f"{prefix}partition"], row[f"{prefix}offset"])
