"""Writes records as backends and workers do, and reads the rows and records that the sink made of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import psycopg

from connectors.payload_store import Payload
from schemas import headers
from schemas.avsc import request_schema, result_schema, self_contained
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import (
    ECHO,
    Control,
    Coordinates,
    EchoInput,
    EchoOutput,
    ErrorInfo,
    JobHeader,
    Progress,
    Request,
    Result,
    ResultInfo,
    Timings,
)
from streams import wiring
from streams.log import kafka
from streams.settings import Settings
from tests.harness.topic_reader import read_records, read_topic
from tests.harness.waiting import wait_until


def header(**changes: Any) -> JobHeader:
    made: dict[str, Any] = {
        "job_id": new_id(),
        "processor": "echo",
        "created_at": datetime.now(UTC),
        "input_sha256": "a" * 64,
    }
    return JobHeader(**made | changes)


class Scribe:
    """Writes records of the echo processor, and raw bytes for any other."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.names = settings, settings.topics
        codec = wiring.codec(settings)
        self._request = codec.encoder(f"{self.names.requests('echo')}-value", request_schema(ECHO))
        self._result = codec.encoder(f"{self.names.results('echo')}-value", result_schema(ECHO))
        self._progress = codec.encoder(f"{self.names.progress}-value", self_contained("Progress"))
        self._control = codec.encoder(f"{self.names.control}-value", self_contained("Control"))
        self._producer = kafka.producer(settings)
        self._places: dict[tuple[str, int], Coordinates] = {}
        self._database = psycopg.connect(settings.database, autocommit=True)

    def close(self) -> None:
        self._database.close()

    # ── writing ──

    def request(self, job: JobHeader, message: str = "hello") -> Coordinates:
        value = self._request.encode(to_plain(Request(job, EchoInput(message))))
        fields = headers.request_headers(job, source="test")
        place = self.raw(self.names.requests(job.processor, job.lane), value, fields, job.job_id)
        self._places[job.job_id, job.run] = place
        return place

    def requests(self, jobs: Iterable[JobHeader]) -> None:
        """Write many requests, then flush once."""
        for job in jobs:
            value = self._request.encode(to_plain(Request(job, EchoInput("hello"))))
            given: Any = headers.request_headers(job, source="test")
            self._producer.produce(self.names.requests(job.processor, job.lane), value, job.job_id, headers=given)
        assert self._producer.flush(30) == 0

    def results(self, jobs: Iterable[JobHeader]) -> list[bytes]:
        """Write a result of each job, then flush once; return the values."""
        values: list[bytes] = []
        failed: list[Any] = []

        def report(error: Any, _: Any) -> None:
            failed.extend([] if error is None else [error])

        for job in jobs:
            values.append(self.result_bytes(job))
            given: Any = headers.result_headers(job, "succeeded", 1, source="test")
            self._producer.produce(
                self.names.results("echo"), values[-1], job.job_id, headers=given, on_delivery=report
            )
        assert self._producer.flush(30) == 0
        assert failed == []
        return values

    def payload(self, job: JobHeader) -> Payload:
        """Return a request as a row of `payloads` accepts it."""
        value = self._request.encode(to_plain(Request(job, EchoInput("hello"))))
        fields = [(name, text.decode()) for name, text in headers.request_headers(job, source="test")]
        return Payload(job.job_id, job.run, job.processor, job.lane, job.job_id.encode(), value, fields)

    def result(self, job: JobHeader, disposition: str = "succeeded", **changes: Any) -> bytes:
        value = self.result_bytes(job, disposition, **changes)
        fields = headers.result_headers(job, disposition, 1, source="test")
        self.raw(self.names.results("echo"), value, fields, job.job_id)
        return value

    def result_bytes(self, job: JobHeader, disposition: str = "succeeded", **changes: Any) -> bytes:
        """Encode a result as a worker does, with the coordinates of its request if there was one."""
        now = datetime.now(UTC)
        changes.setdefault("request_coordinates", self._places.get((job.job_id, job.run)))
        output = EchoOutput(changes.pop("message", "hello"), 5) if disposition == "succeeded" else None
        error = None if disposition == "succeeded" else ErrorInfo(changes.pop("code", "PROCESSOR_ERROR"), "it broke")
        timings = changes.pop("timings", Timings(now, now, now))
        info = ResultInfo(disposition, "worker-1", "cpu", timings, error=error, **changes)
        return self._result.encode(to_plain(Result(job, info, output)))

    def progress(self, job: JobHeader, **changes: Any) -> None:
        fields: dict[str, Any] = {"execution": 1, "sequence": 1, "stage": "run", "worker_id": "worker-1"}
        made = Progress(job.job_id, job.run, job.attempt, processor="echo", at=datetime.now(UTC), **fields | changes)
        self.raw(self.names.progress, self._progress.encode(to_plain(made)), [], job.job_id)

    def control(self, command: Control) -> None:
        """Write a command, or a worker's acknowledgement."""
        key = f"processor:{command.processor}:{command.by}"
        self.raw(self.names.control, self._control.encode(to_plain(command)), [], key)

    def raw(self, topic: str, value: bytes, fields: list[tuple[str, bytes]], key: str = "key") -> Coordinates:
        places: list[Coordinates] = []

        def report(error: Any, message: Any) -> None:
            assert error is None, error
            places.append(Coordinates(topic, message.partition(), message.offset()))

        given: Any = fields
        self._producer.produce(topic, value, key.encode(), headers=given, on_delivery=report)
        assert self._producer.flush(10) == 0
        return places[0]

    def write_row(self, statement: str, *parameters: Any) -> None:
        self._database.execute(statement.encode(), parameters)

    # ── reading ──

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._database.execute(query.encode(), parameters).fetchall()

    def state(self, job: JobHeader) -> str | None:
        found = self.rows("SELECT state FROM runs WHERE job_id = %s AND run = %s", job.job_id, job.run)
        return str(found[0][0]) if found else None

    def kinds(self, job: JobHeader) -> list[str]:
        """Return the kinds of a job's history entries, sorted."""
        return sorted(kind for (kind,) in self.rows("SELECT kind FROM history WHERE job_id = %s", job.job_id))

    def wait(self, job: JobHeader, state: str) -> None:
        wait_until(lambda: self.state(job) == state, lambda: f"{job.job_id} is {self.state(job)}, not {state}")

    def wait_for_kinds(self, job: JobHeader, *kinds: str) -> None:
        wait_until(lambda: self.kinds(job) == sorted(kinds), lambda: f"history says {self.kinds(job)}, not {kinds}")

    def outcomes(self) -> list[bytes]:
        return [message.value() for message in self.all_of(self.names.outcomes("echo"))]

    def dead_letters(self) -> list[bytes]:
        return [message.value() for message in self.all_of(self.names.dead_letters)]

    def all_of(self, topic: str) -> list[Any]:
        """Return the records that a topic has now."""
        return read_topic(self.settings, topic)

    def messages(self, topic: str, count: int) -> list[Any]:
        """Wait for `count` records of a topic and return them."""
        return read_records(self.settings, topic, count)
