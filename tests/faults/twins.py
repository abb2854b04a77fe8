"""The engine's parts on the in-memory twins, moved step by step, and the evidence that they leave for the checker."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from confluent_kafka import TopicCollection

from connectors.memory import MemoryDatabase
from schemas import contract
from schemas.avsc import result_schema
from schemas.headers import result_headers
from schemas.records import EchoInput, JobHeader
from streams import wiring
from streams.client.submitter import Submitter
from streams.log import kafka
from streams.log.memory import MemoryLog
from streams.settings import Settings
from streams.sink.session import Session
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.kafka_source.source import KafkaSource
from streams.worker.protocol import ChildConfig
from tests.harness.checker.avro import AvroFiles
from tests.harness.checker.evidence import Evidence, FaultSpan, OutcomeRow, RunRow, Submission
from tests.harness.checker.gather import request_record, result_record
from tests.harness.processors.chores import CHORE, ERRAND
from tests.harness.sink_kit import open_sink, records, step_and_settle, twin_settings, write

PROCESSORS = ("chore", "errand")
_CONTRACTS = {"chore": CHORE, "errand": ERRAND}
_AVRO = AvroFiles()


@contextmanager
def installation(home: Path) -> Iterator[Installation]:
    with contract.installed(CHORE, ERRAND), twin_settings(home, CHORE, ERRAND) as settings:
        yield Installation(settings)


class Installation:
    """Submits jobs with known answers, makes sinks and workers, and gathers what they left."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.submissions: list[Submission] = []
        self.faults: list[FaultSpan] = []

    def submit(self, count: int, processor: str = "chore", copies: int = 1) -> None:
        """Submit jobs. `copies`: how often each may be answered without a fault."""
        with Submitter(self.settings) as submitter:
            for _ in range(count):
                token = f"t-{len(self.submissions)}"
                accepted = submitter.submit(processor, EchoInput(token), external_id=token)
                self.submissions.append(
                    Submission(
                        token, time.time(), job_id=accepted.job_id, kind=processor, message=token[::-1], copies=copies
                    )
                )

    def fault(self, target: str) -> None:
        """Note that a fault of this target happens now."""
        self.faults.append(FaultSpan(time.time(), time.time(), f"freeze {target}", frozenset({target})))

    def sink(self) -> Session:
        return open_sink(self.settings)

    def let_a_sink_work(self) -> None:
        """A sink comes, reads everything and leaves."""
        sink = self.sink()
        step_and_settle(sink)
        sink.close()

    def result(self, request: dict[str, Any], **changes: Any) -> None:
        """Write the result of a request as a worker does. `changes`: fields of its ResultInfo."""
        processor, now = request["header"]["processor"], datetime.now(UTC)
        times = {"received_at": now, "started_at": now, "finished_at": now}
        info = {"disposition": "succeeded", "worker_id": "twin", "device": "cpu", "timings": times, **changes}
        message = request["input"]["message"][::-1]
        output = {"message": message, "length": len(message)} if info["disposition"] == "succeeded" else None
        id_ = wiring.registry(self.settings).lookup(f"results.{processor}-value", result_schema(_CONTRACTS[processor]))
        assert id_ is not None
        value = _AVRO.encode(
            f"{processor.capitalize()}Result", {"header": request["header"], "result": info, "output": output}, id_
        )
        known = {name: request["header"][name] for name in ("job_id", "processor", "created_at", "input_sha256")}
        fields = result_headers(JobHeader(**known), info["disposition"], info.get("execution", 1), source="twin")
        write(self.settings, f"results.{processor}", value, fields, key=known["job_id"])

    def requests(self, processor: str = "chore") -> list[dict[str, Any]]:
        """Return every request in the log, decoded."""
        name = f"{processor.capitalize()}Request"
        return [_AVRO.decode(name, m.value() or b"") for m in records(self.settings, f"requests.{processor}")]

    def evidence(self) -> Evidence:
        log, database = MemoryLog.at(self.settings.bootstrap), MemoryDatabase.at(self.settings.database)
        assert log is not None
        assert database is not None
        names = database.topics
        of = {kind: [(p, m) for p in PROCESSORS for m in records(self.settings, f"{kind}.{p}")] for kind in _KINDS}
        return Evidence(
            submissions=tuple(self.submissions),
            requests=tuple(request_record(_AVRO, p, m) for p, m in of["requests"]),
            results=tuple(result_record(_AVRO, p, m) for p, m in of["results"]),
            published=tuple(result_record(_AVRO, p, m) for p, m in of["outcomes"]),
            outcomes=tuple(_outcome(row, names) for row in database.outcomes.values()),
            runs=tuple(
                RunRow(str(UUID(bytes=r.job_id)), r.run, r.state, r.attempt, r.execution, r.sequence)
                for r in database.runs.values()
            ),
            faults=tuple(self.faults),
            history=frozenset((names[p.topic_id], p.partition, p.offset) for _, p in database.history),
            read={(names[key[1]], key[2]): row.next_offset for key, row in database.offsets.items()},
        )


_KINDS = ("requests", "results", "outcomes")


def _outcome(row: Any, names: dict[bytes, str]) -> OutcomeRow:
    output = json.loads(row.output) if row.output else None
    at = row.position
    return OutcomeRow(
        str(UUID(bytes=row.job_id)),
        row.run,
        row.status,
        None if output is None else output["message"],
        row.error_code,
        names.get(at.topic_id, ""),
        at.partition,
        at.offset,
        row.decided_at.timestamp(),
    )


class TwinSupervisor:
    """Stands in for the child: keeps the jobs that it is sent."""

    def __init__(self) -> None:
        self.sent: list[InFlightJob] = []

    def send(self, jobs: Sequence[InFlightJob]) -> None:
        self.sent += jobs

    def disown(self, slots: list[int]) -> None:
        """Nothing: a job that was disowned has no slot any more."""

    def release(self, slots: list[int]) -> None:
        """Nothing is released before the end."""


class TwinWorker:
    """The real job source of a worker; `finish` stands for the child and the publisher."""

    def __init__(self, made: Installation) -> None:
        self._made = made
        self._in_flight = InFlightJobs()
        self._supervisor = TwinSupervisor()
        supervisor: Any = self._supervisor
        names = ["requests.chore", "requests.chore.bulk"]
        described = kafka.admin(made.settings).describe_topics(TopicCollection(names), request_timeout=1.0)
        topics = [[name, str(described[name].result().topic_id)] for name in names]
        config = ChildConfig("chore", f"twin-{uuid.uuid4().hex[:6]}", "", "", {}, topics, {})
        ready = {"in_flight": 100, "executions": 1000, "lanes": (8, 1), "order": "none"}
        self._source = KafkaSource(made.settings, config, ready, self._in_flight, supervisor, lambda origins: None)
        self._source.start()

    @property
    def unfinished(self) -> int:
        return len(self._supervisor.sent)

    def poll(self) -> None:
        """Take jobs and commit, a few turns of the engine's loop."""
        for _ in range(5):
            jobs = self._source.poll(0.0, jobs_wait=False)
            if jobs:
                self._source.dispatch(jobs)
            self._source.tick(time.monotonic() + 1.0)

    def finish(self, count: int) -> None:
        """Run the first jobs and publish their results, those that are still this worker's; then commit."""
        done, self._supervisor.sent = self._supervisor.sent[:count], self._supervisor.sent[count:]
        for job in done:
            if self._in_flight.answered(job.slot, 1) is not None:
                self._made.result(_AVRO.decode("ChoreRequest", job.value or b""))
                self._in_flight.confirmed([job])
        self._source.tick(time.monotonic() + 2.0)

    def die(self) -> None:
        """End without a word: nothing is committed, and the group notices."""
        for lane in (self._source._live, self._source._bulk):
            consumer: Any = lane._consumer
            consumer.die()

    def close(self) -> None:
        self._source.close()
