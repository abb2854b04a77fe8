"""Dramatiq with Redis: acknowledges after the job. A connection to Postgres and to the receiver for each thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import dramatiq
import work
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=work.REDIS, namespace=f"dramatiq-{work.VISIT}")
dramatiq.set_broker(broker)
_threads = threading.local()


@dramatiq.actor(max_retries=3)
def run(job: work.Job) -> None:
    if not hasattr(_threads, "runner"):
        _threads.runner = work.SyncRunner()
    _threads.runner.run(job)


class DramatiqSubmitter:
    def submit(self, job: work.Job) -> None:
        run.send(job)

    def submit_many(self, jobs: Sequence[work.Job]) -> None:
        for job in jobs:
            run.send(job)

    def rows(self, batch: str) -> int:
        return work.rows(batch)


SUBMITTER = DramatiqSubmitter
