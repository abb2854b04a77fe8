"""Leased jobs in a database, stored as the sink does."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from connectors.sink_store import LeaseRow
from streams.sink.fold import fold
from streams.sink.rows import history_rows, run_rows
from tests.harness.events import REQUESTS
from tests.harness.stores import Stores, new_job, requested

HEADERS = json.dumps([["sluice-job", "x"]]).encode()


def store_event(stores: Stores, job: UUID, phase: str, event: Any, *, lane: str = "live", offset: int = 0) -> None:
    """Store an event of a leased job as the sink does."""
    folds, _ = fold([event])
    row = LeaseRow(job.bytes, 0, phase, event.attempt, "a", "echo")
    if phase == "requested":
        row = row._replace(lane=lane, key=b"k", value=b"v", headers=HEADERS)
        row = row._replace(topic_id=REQUESTS, partition=0, offset=offset)
    stores.sink.store(run_rows(folds, None), history_rows(folds), (), [row])


def waiting_jobs(stores: Stores, count: int = 1, **more: Any) -> list[UUID]:
    jobs = [new_job() for _ in range(count)]
    for n, job in enumerate(jobs):
        store_event(stores, job, "requested", requested(job, n), offset=n, **more)
    return jobs
