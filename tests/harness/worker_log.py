"""Requests for a worker, and what the worker publishes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import TopicPartition

from schemas import headers
from schemas.avsc import request_schema
from schemas.contract import AnyContract
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import ECHO, EchoInput, JobHeader, Request
from streams import wiring
from streams.client.submitter import Submitter
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer
from streams.settings import Settings
from tests.harness.waiting import wait_until

PATIENCE_S = 60.0
#: Jobs in a batch of the workers that these tests start.
BATCH = 10


class WorkerLog:
    """Reads what the worker publishes, and writes raw records into its requests topic."""

    def __init__(self, settings: Settings, contract: AnyContract = ECHO) -> None:
        self.settings = settings
        self.codec = wiring.codec(settings)
        names, self._requests = settings.topics, settings.topics.requests(contract.name)
        self._topics = [names.results(contract.name), names.dead_letters, names.progress]
        self._consumer: LogConsumer = kafka.reader(settings)
        self._consumer.assign(
            [TopicPartition(topic, number, 0) for topic in self._topics for number in range(settings.partitions)]
        )
        self._producer = kafka.producer(settings)
        self._encoder = self.codec.encoder(f"{self._requests}-value", request_schema(contract))
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.result_headers: dict[str, dict[str, bytes]] = {}
        self.dead: list[tuple[bytes, dict[str, bytes]]] = []
        self.progress: list[dict[str, Any]] = []

    def read_until(self, enough: Callable[[], bool]) -> None:
        wait_until(
            enough, lambda: f"{len(self.results)} results, {len(self.dead)} dead letters", PATIENCE_S, self._read
        )

    def read_results_of(self, jobs: set[str]) -> None:
        self.read_until(lambda: jobs <= self.results.keys())

    def raw(self, value: bytes, given: dict[str, str] | None = None) -> None:
        fields: Any = [(name, text.encode()) for name, text in (given or {}).items()]
        self._producer.produce(self._requests, value, headers=fields)
        assert self._producer.flush(10) == 0

    def place(self, partition: int, value: bytes, job_id: str) -> None:
        fields: Any = [(headers.JOB, job_id.encode())]
        self._producer.produce(self._requests, value, partition=partition, headers=fields)
        assert self._producer.flush(10) == 0

    def request(self, header: JobHeader, input_: EchoInput) -> bytes:
        return self._encoder.encode(to_plain(Request(header, input_)))

    def close(self) -> None:
        self._consumer.close()

    def _read(self) -> None:
        for message in poll_batch(self._consumer, 500, 0.2):
            assert message.error() is None, message.error()
            self._sort(message)

    def _sort(self, message: Any) -> None:
        fields = dict(message.headers() or ())
        if message.topic() == self._topics[0]:
            plain = self.codec.decode(message.value())
            self.results.setdefault(plain["header"]["job_id"], []).append(plain)
            self.result_headers[plain["header"]["job_id"]] = fields
        elif message.topic() == self._topics[1]:
            self.dead.append((message.value(), fields))
        else:
            self.progress.append(self.codec.decode(message.value()))


def header(**changed: Any) -> JobHeader:
    return JobHeader(
        **{"job_id": new_id(), "processor": "echo", "created_at": datetime.now(UTC), "input_sha256": "", **changed}
    )


def outcome(log: WorkerLog, job_id: str) -> tuple[str, str | None]:
    """Return disposition and error code of a job's only result."""
    (plain,) = log.results[job_id]
    error = plain["result"]["error"]
    return plain["result"]["disposition"], None if error is None else error["code"]


def executions(log: WorkerLog, job_id: str) -> list[int]:
    return [plain["result"]["execution"] for plain in log.results[job_id]]


def worker_ids(log: WorkerLog) -> set[str]:
    return {plain["result"]["worker_id"] for results in log.results.values() for plain in results}


def submit(submitter: Submitter, count: int, **input_: Any) -> set[str]:
    jobs = {submitter.submit_nowait("echo", EchoInput(f"job {n}", **input_)) for n in range(count)}
    submitter.flush()
    return jobs
