"""Leases of a sink's batch, in memory: the statement `store_leases`, part by part."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from connectors.memory.database import MemoryDatabase
from connectors.memory.replay_tables import is_replayed
from connectors.memory.tables import OPEN, StoredLease, StoredPayload, StoredRun
from connectors.sink_store import LeaseRow, LogPosition
from schemas.states import Lane

#: A bulk job ranks like a live job that came this much later.
_BULK_DELAY = timedelta(minutes=10)


def store_leases(database: MemoryDatabase, rows: Iterable[LeaseRow], now: datetime) -> None:
    """Store leases after the batch itself, in the same transaction: the runs already have their new states."""
    for row in rows:
        job, run = database.jobs.get(row.job_id), database.runs.get((row.job_id, row.run))
        if job is None or run is None:
            continue
        edited = is_replayed(database.replays, row.job_id, row.run, row.replay_id)
        if job.input_sha256 in (row.input_sha256, "") or row.input_sha256 == "" or edited:
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
    """Store the request unchanged. If a row had accepted it before, it is in the log now and is checked no more."""
    headers = [(name, text) for name, text in json.loads(row.headers or b"[]")]
    kept = database.payloads.get((row.job_id, row.run))
    if kept is None:
        new = StoredPayload(
            row.job_id,
            row.run,
            row.processor,
            row.lane or Lane.LIVE,
            row.key or b"",
            row.value or b"",
            headers,
            now,
            None,
        )
        database.payloads[row.job_id, row.run] = new
    else:
        kept.key, kept.value, kept.headers, kept.check_at = row.key or b"", row.value or b"", headers, None


def _make_claimable(database: MemoryDatabase, row: LeaseRow, now: datetime) -> None:
    was = database.leases.get((row.job_id, row.run))
    if was is not None and row.attempt <= was.attempt:
        return
    lane = row.lane or Lane.LIVE
    rank = now + (_BULK_DELAY if lane == Lane.BULK else timedelta())
    position = None if row.topic_id is None else LogPosition(row.topic_id, row.partition or 0, row.offset or 0)
    made = StoredLease(row.job_id, row.run, row.processor, lane, row.attempt, rank, position)
    if was is not None:
        made.executions, made.fence = was.executions, was.fence
    database.leases[row.job_id, row.run] = made
