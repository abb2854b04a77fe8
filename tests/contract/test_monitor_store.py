"""Promises of the reads for monitoring, on Postgres and in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors.monitor_store import LeasedQueue, SinkPosition
from schemas.states import State
from tests.harness.events import AT, RESULTS
from tests.harness.lease_rows import waiting_jobs
from tests.harness.replay_rows import failed, mark, rows, start
from tests.harness.stores import GROUP, Stores, ended, new_job, requested, step

SOON = timedelta(hours=1)


def test_the_sinks_positions_are_those_that_it_stored(stores: Stores) -> None:
    assert stores.monitor.sink_positions(GROUP) == []
    stores.store(offsets=[step(stores.claim(), 7)])
    assert stores.monitor.sink_positions(GROUP) == [SinkPosition(RESULTS, 0, 7)]
    assert stores.monitor.sink_positions("another") == []


def test_the_flow_counts_what_came_in_and_what_ended_with_its_times(stores: Stores) -> None:
    now = datetime.now(UTC)
    for n in range(4):
        job, head = new_job(), {"created_at": now - timedelta(seconds=1)}
        end = ended(job, 2 * n + 1, header=head, state=State.FAILED if n == 3 else State.COMPLETED)
        assert end.terminal is not None
        timed = end.terminal._replace(started_at=head["created_at"] + timedelta(milliseconds=100 * n), run_ms=10.0 * n)
        stores.store(requested(job, 2 * n, header=head), end._replace(terminal=timed))
    stores.store(requested(new_job(), 9, header={"created_at": now}))
    stores.store(requested(new_job(), 10, header={"created_at": AT}))
    [flow] = stores.monitor.flow(SOON)
    assert (flow.processor, flow.requested, flow.ended, flow.failed) == ("echo", 5, 4, 1)
    assert flow.queue_p50_ms == pytest.approx(150, abs=1)
    assert flow.queue_p95_ms == pytest.approx(285, abs=1)
    assert (flow.run_p50_ms, flow.run_p95_ms) == (pytest.approx(15), pytest.approx(28.5))
    assert stores.monitor.flow(timedelta(0)) == []


def test_a_replayed_run_came_in_and_queued_when_it_was_published(stores: Stores) -> None:
    jobs = [failed(stores, offset=offset) for offset in (0, 2, 4)]
    minute = timedelta(minutes=1)
    assert stores.monitor.flow(minute)[0].requested == 0  # they were requested long ago
    replay = start(stores)
    mark(stores, replay, 1, 2)
    row = rows(stores, replay)[0]
    end = ended(jobs[0], 11, run=1)
    assert end.terminal is not None
    begun = datetime.now(UTC) + timedelta(seconds=30)
    stores.store(requested(jobs[0], 10, run=1), end._replace(terminal=end.terminal._replace(started_at=begun)))
    assert (row.job_id, row.run) == (str(jobs[0]), 1)
    [flow] = stores.monitor.flow(minute)
    assert flow.requested == 2
    assert flow.queue_p95_ms == pytest.approx(30_000, abs=5_000)


def test_leased_jobs_are_a_queue_by_processor_and_lane(stores: Stores) -> None:
    waiting_jobs(stores, 2)
    waiting_jobs(stores, 1, lane="bulk")
    assert stores.monitor.leased() == [LeasedQueue("echo", "live", 2, 0, AT), LeasedQueue("echo", "bulk", 1, 0, AT)]
    assert len(stores.lease_store().claim("echo", "worker", 1, 60.0)) == 1
    assert stores.monitor.leased()[0] == LeasedQueue("echo", "live", 1, 1, AT)
