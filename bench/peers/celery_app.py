"""Celery with Redis. BENCH_CAREFUL=1: acknowledges after the job, takes one job at a time, recycles processes at 1000 jobs."""

from __future__ import annotations

import os
from collections.abc import Sequence

import work
from celery import Celery
from celery.signals import worker_process_init

CAREFUL = os.environ.get("BENCH_CAREFUL") == "1"

app = Celery("peers", broker=work.REDIS)
app.conf.update(
    task_default_queue=f"celery-{work.VISIT}",
    task_ignore_result=True,  # the row is the result; a result backend would cost one more write a job
    broker_connection_retry_on_startup=True,
    task_acks_late=CAREFUL,
    task_reject_on_worker_lost=CAREFUL,
    worker_prefetch_multiplier=1 if CAREFUL else 4,
    worker_max_tasks_per_child=1000 if CAREFUL else None,
)
_runner: work.SyncRunner | None = None


@worker_process_init.connect
def _open(**_: object) -> None:
    global _runner
    _runner = work.SyncRunner()


@app.task(name="run")
def run(job: work.Job) -> None:
    assert _runner is not None
    _runner.run(job)


class CelerySubmitter:
    def submit(self, job: work.Job) -> None:
        run.delay(job)

    def submit_many(self, jobs: Sequence[work.Job]) -> None:
        for job in jobs:
            run.delay(job)

    def rows(self, batch: str) -> int:
        return work.rows(batch)


SUBMITTER = CelerySubmitter
