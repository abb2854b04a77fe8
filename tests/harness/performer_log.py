"""Writes requests for the performer into either lane, under any key, and reads the worker's records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from confluent_kafka import TopicPartition

from schemas.avsc import request_schema
from schemas.headers import request_headers
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import EchoInput, JobHeader, Request
from streams import wiring
from streams.admin import topics
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.settings import Settings
from tests.harness.processors.performer import PERFORMER
from tests.harness.waiting import wait_until

PATIENCE_S = 60.0


class PerformerLog:
    """`results`, `control` and `progress` are in the sequence in which they were read."""

    def __init__(self, settings: Settings) -> None:
        topics.apply(settings, [PERFORMER])
        self._names = settings.topics
        self._codec = wiring.codec(settings)
        subject = f"{self._names.requests(PERFORMER.name)}-value"
        self._encoder = self._codec.encoder(subject, request_schema(PERFORMER))
        self._producer = kafka.producer(settings)
        self._consumer = kafka.reader(settings)
        read = (self._names.results(PERFORMER.name), self._names.control, self._names.progress)
        self._consumer.assign([TopicPartition(topic, n, 0) for topic in read for n in range(settings.partitions)])
        self.results: list[dict[str, Any]] = []
        self.control: list[dict[str, Any]] = []
        self.progress: list[dict[str, Any]] = []

    def close(self) -> None:
        self._consumer.close()

    def ask(self, *inputs: EchoInput, lane: str = "live", key: str | None = None, **changed: Any) -> list[str]:
        """Write requests with these inputs, wait for their confirmation, and return their job ids."""
        topic = self._names.requests(PERFORMER.name, lane)
        made = [JobHeader(new_id(), PERFORMER.name, datetime.now(UTC), "", **changed) for _ in inputs]
        values = [self._encoder.encode(to_plain(Request(*pair))) for pair in zip(made, inputs, strict=True)]
        for header, value in zip(made, values, strict=True):
            fields: Any = request_headers(header, source="test")
            self._producer.produce(topic, value, (key or header.job_id).encode(), headers=fields)
        assert self._producer.flush(10) == 0
        return [header.job_id for header in made]

    def read_until(self, enough: Callable[[], bool]) -> None:
        wait_until(
            enough,
            lambda: f"{len(self.results)} results, {len(self.control)} control records",
            PATIENCE_S,
            lambda: self.read(0.2),
        )

    def read(self, timeout: float) -> None:
        """Read the records that are there, waiting up to `timeout` seconds for the first."""
        for message in poll_batch(self._consumer, 500, timeout):
            assert message.error() is None, message.error()
            plain = self._codec.decode(cast(bytes, message.value()))
            if message.topic() == self._names.control:
                self.control.append(plain)
            elif message.topic() == self._names.progress:
                self.progress.append(plain)
            else:
                self.results.append(plain)

    def read_results_of(self, jobs: set[str]) -> None:
        self.read_until(lambda: jobs <= self.ended())

    def ended(self) -> set[str]:
        return {plain["header"]["job_id"] for plain in self.results}

    def dispositions(self) -> dict[str, str]:
        """Return the disposition of each job. Fails the test if a job has two results."""
        assert len(self.results) == len(self.ended()), "a job has two results"
        return {plain["header"]["job_id"]: plain["result"]["disposition"] for plain in self.results}
