"""The work of one job, the same for every peer: no computation, one row upserted in Postgres, one callback.

The rows are one table in a database of the peers' own. Peers that run jobs one by one use `SyncRunner` or `AsyncRunner`; those
that have batches use `UPSERT_MANY` and `post`.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp

#: Set by bench/compare/peers.py for every process of a peer.
DATABASE = os.environ.get("BENCH_DATABASE", "")
KAFKA = os.environ.get("BENCH_KAFKA", "")
REDIS = os.environ.get("BENCH_REDIS", "")
#: Name of this visit: the suffix of queues and topics, so that no job of an earlier visit is left in them.
VISIT = os.environ.get("BENCH_VISIT", "visit")

TABLE = (
    "CREATE TABLE IF NOT EXISTS jobs (id text PRIMARY KEY, state text NOT NULL, output jsonb, at timestamptz NOT NULL)"
)
_KEEP_LAST = " ON CONFLICT (id) DO UPDATE SET state = excluded.state, output = excluded.output, at = excluded.at"
UPSERT = f"INSERT INTO jobs VALUES (%s, 'COMPLETED', %s, now()){_KEEP_LAST}"
#: One statement for a batch: the ids and the outputs as two arrays.
UPSERT_MANY = (
    "INSERT INTO jobs SELECT id, 'COMPLETED', output::jsonb, now() FROM unnest(%s::text[], %s::text[]) AS r(id, output)"
    + _KEEP_LAST
)

Job = dict[str, Any]


def output_of(job: Job) -> str:
    """Return the job's output as JSON. The work itself is nothing: the message comes back."""
    return json.dumps({"message": job["message"]})


def callback_of(job: Job) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of the job's callback."""
    body = {"job_id": job["id"], "state": "COMPLETED", "output": {"message": job["message"]}}
    return json.dumps(body).encode(), {"webhook-id": job["id"], "content-type": "application/json"}


class SyncRunner:
    """Runs one job at a time over a connection to Postgres and one to the receiver, both kept open."""

    def __init__(self) -> None:
        import psycopg
        import urllib3

        self._database = psycopg.connect(DATABASE, autocommit=True, prepare_threshold=0)
        self._http = urllib3.PoolManager(maxsize=1)

    def run(self, job: Job) -> None:
        self._database.execute(UPSERT, (job["id"], output_of(job)))
        body, headers = callback_of(job)
        status = self._http.request("POST", job["url"], body=body, headers=headers).status
        if status >= 300:
            raise RuntimeError(f"the receiver answered {status}")


class AsyncRunner:
    """Runs many jobs at a time in one event loop, over a pool of connections to Postgres and one to the receiver."""

    def __init__(self, connections: int) -> None:
        self._connections = connections

    async def open(self) -> None:
        import aiohttp
        from psycopg_pool import AsyncConnectionPool

        options = {"autocommit": True, "prepare_threshold": 0}
        self._pool = AsyncConnectionPool(DATABASE, min_size=1, max_size=self._connections, kwargs=options, open=False)
        await self._pool.open()
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=self._connections * 4))

    async def run(self, job: Job) -> None:
        async with self._pool.connection() as database:
            await database.execute(UPSERT, (job["id"], output_of(job)))
        await post(self._http, job)


async def post(http: aiohttp.ClientSession, job: Job) -> None:
    """Send one callback. Raises RuntimeError if the receiver refuses it."""
    body, headers = callback_of(job)
    async with http.post(job["url"], data=body, headers=headers) as answer:
        if answer.status >= 300:
            raise RuntimeError(f"the receiver answered {answer.status}")


def rows(batch: str) -> int:
    """Return how many jobs of a batch have a row."""
    import psycopg

    with psycopg.connect(DATABASE) as database:
        found = database.execute("SELECT count(*) FROM jobs WHERE id LIKE %s", (f"{batch}-%",)).fetchone()
    assert found is not None
    return int(found[0])
