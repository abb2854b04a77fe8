"""How long a partition stays with its worker, however long a job takes; and how soon another has it when that is gone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.records import EchoInput
from streams.admin import topics
from streams.client.submitter import Submitter
from streams.settings import Settings
from tests.harness.group_times import shorten
from tests.harness.processors.killer import KILLER, installed
from tests.harness.services import Service, running
from tests.harness.worker_log import BATCH, WorkerLog, executions, header, submit, worker_ids

pytestmark = [pytest.mark.stack]

SHORT_MS = 2000
FAILOVER_S = 15.0


@pytest.fixture
def log(settings: Settings) -> Iterator[WorkerLog]:
    made = WorkerLog(settings)
    yield made
    made.close()


def rebalances(service: Service) -> list[str]:
    """Return the rebalance events in the worker's log, in order."""
    said = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    return [line["event"] for line in said if line["event"] in ("assigned", "revoked", "lost")]


def test_a_job_ten_times_longer_than_every_timeout_finishes_without_a_rebalance(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "OneAtATime"))
    topics.apply(settings, [KILLER])
    shorten(settings, "killer", SHORT_MS)
    impatient = settings.model_copy(update={"kafka_config": {"max.poll.interval.ms": SHORT_MS}})
    log = WorkerLog(settings, KILLER)
    asked = [header(processor="killer") for _ in range(4)]
    for number, job in enumerate(asked):  # the others wait: there is no room for them, so nothing is polled
        work = EchoInput(f"job {number}", delay_ms=10 * SHORT_MS + 500 if number == 0 else 0)
        log.place(0, log.request(job, work), job.job_id)
    with running(impatient, ["worker", "killer"]) as (worker,):
        log.read_until(lambda: bool(log.progress))
        began = time.monotonic()
        log.read_results_of({job.job_id for job in asked})
        assert time.monotonic() - began > 9.5 * SHORT_MS / 1000
        assert rebalances(worker) == ["assigned", "assigned"], "once for each lane, and never again"
    log.close()
    assert [executions(log, job.job_id) for job in asked] == [[1]] * 4


def test_the_jobs_of_a_killed_worker_run_on_another_within_fifteen_seconds(settings: Settings, log: WorkerLog) -> None:
    settings = settings.model_copy(update={"max_batch": BATCH})
    with Submitter(settings) as submitter, running(settings, ["worker", "echo", "--device", "cpu"]) as (heir,):
        victim = Service(settings, ["worker", "echo"])
        jobs = submit(submitter, 1)
        log.read_results_of(jobs)
        while len(worker_ids(log)) < 2:  # both have a live partition
            jobs |= (more := submit(submitter, 20))
            log.read_results_of(more)
        jobs |= submit(submitter, 400, delay_ms=10)
        victim.kill()
        killed = time.monotonic()
        log.read_results_of(jobs)
        assert time.monotonic() - killed < FAILOVER_S
        assert heir.process.poll() is None
