"""Taskiq with Redis streams, the one of its Redis brokers that acknowledges."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import work
from taskiq import TaskiqEvents, TaskiqState
from taskiq_redis import RedisStreamBroker

#: Submits that wait for Redis at the same time.
AT_ONCE = 50

broker = RedisStreamBroker(work.REDIS, queue_name=f"taskiq-{work.VISIT}", consumer_id="0")
_runner = work.AsyncRunner(connections=16)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def _open(_: TaskiqState) -> None:
    await _runner.open()


@broker.task(task_name="run")
async def run(job: work.Job) -> None:
    await _runner.run(job)


class TaskiqSubmitter:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(broker.startup())

    def submit(self, job: work.Job) -> None:
        self._loop.run_until_complete(self._send(job))

    def submit_many(self, jobs: Sequence[work.Job]) -> None:
        self._loop.run_until_complete(self._send_all(jobs))

    def rows(self, batch: str) -> int:
        return work.rows(batch)

    async def _send(self, job: work.Job) -> None:
        await run.kiq(job)

    async def _send_all(self, jobs: Sequence[work.Job]) -> None:
        waiting = iter(jobs)

        async def send() -> None:
            for job in waiting:
                await run.kiq(job)

        await asyncio.gather(*(send() for _ in range(AT_ONCE)))


SUBMITTER = TaskiqSubmitter
