"""awa: a queue in Postgres with a Rust core and Python workers. Its workers must start once before the first insert.

python awa_app.py     # a worker; prints `ready`
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import awa
import uvloop
import work

QUEUE = "bench"
AT_ONCE = 64
#: Jobs of one COPY, the fastest of awa's ways to insert.
COPY = 500


@dataclass
class Run:
    id: str
    message: str
    url: str


async def serve() -> None:
    runner = work.AsyncRunner(connections=16)
    await runner.open()
    client = awa.AsyncClient(work.DATABASE)
    await client.migrate()

    @client.task(Run, queue=QUEUE)
    async def run(job: awa.Job[Run]) -> None:
        await runner.run(asdict(job.args))

    await client.start([(QUEUE, AT_ONCE)])
    print("ready", flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await client.shutdown()


class AwaSubmitter:
    def __init__(self) -> None:
        self._client = awa.Client(work.DATABASE)

    def submit(self, job: work.Job) -> None:
        self._client.insert(Run(**job), queue=QUEUE)

    def submit_many(self, jobs: Sequence[work.Job]) -> None:
        for start in range(0, len(jobs), COPY):
            self._client.enqueue_many_copy([Run(**job) for job in jobs[start : start + COPY]], queue=QUEUE)

    def rows(self, batch: str) -> int:
        return work.rows(batch)


SUBMITTER = AwaSubmitter

if __name__ == "__main__":
    uvloop.run(serve())
