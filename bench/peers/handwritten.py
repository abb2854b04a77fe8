"""A pipeline as a team would write it by hand on confluent-kafka: a worker, and a sink with batches and fast callbacks.

    python handwritten.py worker      # requests -> results
    python handwritten.py sink        # results -> rows and callbacks

At least once: offsets are committed after the results were delivered, or the callbacks answered.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future

import aiohttp
import psycopg
import uvloop
import work
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

REQUESTS, RESULTS = f"requests-{work.VISIT}", f"results-{work.VISIT}"
PARTITIONS = 3
BATCH = 500
#: Callbacks that wait for an answer at the same time.
AT_ONCE = 64
PRODUCER = {"bootstrap.servers": work.KAFKA, "enable.idempotence": True, "compression.type": "lz4", "linger.ms": 0}


def create_topics() -> None:
    topics = [NewTopic(name, PARTITIONS, 1) for name in (REQUESTS, RESULTS)]
    admin = AdminClient({"bootstrap.servers": work.KAFKA})  # its requests end with it
    for created in admin.create_topics(topics).values():
        if (error := created.exception()) is not None and "already exists" not in str(error):
            raise error


def consumer(topic: str) -> Consumer:
    options = {"enable.auto.commit": False, "auto.offset.reset": "earliest", "fetch.queue.backoff.ms": 10}
    made = Consumer(
        {"bootstrap.servers": work.KAFKA, "group.id": f"{topic}-readers", "group.protocol": "consumer", **options}
    )
    made.subscribe([topic])
    return made


def batch_of(reader: Consumer, wait_s: float) -> list[Message]:
    """Return the next messages: waits for the first one only."""
    first = reader.poll(wait_s)
    if first is None:
        return []
    found = [first, *reader.consume(BATCH - 1, 0)]
    for message in found:
        if (error := message.error()) is not None:
            raise RuntimeError(str(error))
    return found


def work_forever() -> None:
    reader, producer = consumer(REQUESTS), Producer(PRODUCER)
    while True:
        if not (messages := batch_of(reader, 1.0)):
            continue
        for message in messages:
            job = json.loads(message.value())
            producer.produce(RESULTS, json.dumps(job).encode(), message.key())
        producer.flush()
        reader.commit(asynchronous=True)


class HandwrittenSink:
    """Upserts a batch while the callbacks of the one before are on their way."""

    def __init__(self) -> None:
        self._reader = consumer(RESULTS)
        self._database = psycopg.connect(work.DATABASE, autocommit=True, prepare_threshold=0)
        self._loop = uvloop.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._http = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()

    async def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE))

    def run_forever(self) -> None:
        posted: Future[None] | None = None
        last: list[Message] = []
        while True:
            messages = batch_of(self._reader, 0.1)
            jobs = [json.loads(message.value()) for message in messages]
            if jobs:
                self._database.execute(
                    work.UPSERT_MANY, ([job["id"] for job in jobs], [work.output_of(job) for job in jobs])
                )
            if posted is not None:
                posted.result()
                self._commit(last)
            posted, last = (
                (asyncio.run_coroutine_threadsafe(self._post(jobs), self._loop), messages) if jobs else (None, [])
            )

    def _commit(self, messages: Sequence[Message]) -> None:
        newest = {message.partition(): message for message in messages}
        for message in newest.values():
            self._reader.commit(message=message, asynchronous=True)

    async def _post(self, jobs: Sequence[work.Job]) -> None:
        waiting = iter(jobs)

        async def post() -> None:
            for job in waiting:
                await work.post(self._http, job)

        await asyncio.gather(*(post() for _ in range(min(AT_ONCE, len(jobs)))))


class KafkaSubmitter:
    def __init__(self) -> None:
        self._producer = Producer(PRODUCER)

    def submit(self, job: work.Job) -> None:
        self._producer.produce(REQUESTS, json.dumps(job).encode(), job["id"].encode())
        self._producer.poll(0)

    def submit_many(self, jobs: Sequence[work.Job]) -> None:
        for job in jobs:
            try:
                self.submit(job)
            except BufferError:
                self._producer.flush()
                self.submit(job)
        self._producer.flush()

    def rows(self, batch: str) -> int:
        return work.rows(batch)


SUBMITTER = KafkaSubmitter

if __name__ == "__main__":
    create_topics()
    work_forever() if sys.argv[1] == "worker" else HandwrittenSink().run_forever()
