"""What a batch of the sink means for custody by lease, in memory: the statement `store_leases`, part by part."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from connectors.memory.database import MemoryDatabase
from connectors.memory.tables import OPEN, StoredAcceptance, StoredLease, StoredRun
from connectors.store import LeaseRow, LogPosition

#: How much later a job of the bulk lane is claimed than a live one that came with it.
_BULK_WAITS = timedelta(minutes=10)


def store_leases(database: MemoryDatabase, rows: Iterable[LeaseRow], now: datetime) -> None:
    """After the batch itself, in its transaction: the runs say already what became of them."""
    for row in rows:
        job, run = database.jobs.get(row.job_id), database.runs.get((row.job_id, row.run))
        if job is None or run is None:
            continue
        if job.input_sha256 in (row.input_sha256, "") or row.input_sha256 == "":
            _store(database, row, run, now)


def _store(database: MemoryDatabase, row: LeaseRow, run: StoredRun, now: datetime) -> None:
    key = (row.job_id, row.run)
    if row.phase == "requested" and run.state == "PENDING" and run.attempt == row.attempt:
        _keep(database, row, now)
        _make_claimable(database, row, now)
    elif row.phase == "retrying" and run.state == "RETRYING" and run.attempt == row.attempt:
        lease = database.leases.get(key)
        if lease is not None and lease.attempt == row.attempt:
            lease.state, lease.expires_at = "settled", None
    if run.state not in OPEN:
        database.leases.pop(key, None)
        database.payloads.pop(key, None)


def _keep(database: MemoryDatabase, row: LeaseRow, now: datetime) -> None:
    """The request as it travelled; one that was accepted here before has reached the log now."""
    headers = [(name, text) for name, text in json.loads(row.headers or b"[]")]
    kept = database.payloads.get((row.job_id, row.run))
    if kept is None:
        new = StoredAcceptance(
            row.job_id, row.run, row.processor, row.lane or "live", row.key or b"", row.value or b"", headers, now, None
        )
        database.payloads[row.job_id, row.run] = new
    else:
        kept.key, kept.value, kept.headers, kept.check_at = row.key or b"", row.value or b"", headers, None


def _make_claimable(database: MemoryDatabase, row: LeaseRow, now: datetime) -> None:
    was = database.leases.get((row.job_id, row.run))
    if was is not None and row.attempt <= was.attempt:
        return
    lane = row.lane or "live"
    rank = now + (_BULK_WAITS if lane == "bulk" else timedelta())
    place = None if row.topic_id is None else LogPosition(row.topic_id, row.partition or 0, row.offset or 0)
    made = StoredLease(row.job_id, row.run, row.processor, lane, row.attempt, rank, place)
    if was is not None:
        made.executions, made.fence = was.executions, was.fence
    database.leases[row.job_id, row.run] = made
