"""A supervisor with a real child process, and a log that is a list: no broker, no registry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from schemas.avsc import request_schema, result_schema
from schemas.codec import Codec
from schemas.headers import DEADLINE, JOB
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import EchoInput, JobHeader, Request
from schemas.registry import MemoryRegistry
from streams.worker.in_flight import Assignment, InFlightJob, InFlightJobs
from streams.worker.protocol import Answer, ChildConfig
from streams.worker.publisher import Publisher
from streams.worker.supervision.limits import ProgressUpdate
from streams.worker.supervision.supervisor import Supervisor
from tests.harness.processors.killer import KILLER

PATIENCE_S = 30.0
REQUESTS, RESULTS = "requests.killer-value", "results.killer-value"


@dataclass
class Message:
    """A record as a consumer hands it out."""

    job_id: str
    number: int
    content: bytes
    given: list[tuple[str, bytes]] = field(default_factory=list)

    def headers(self) -> list[tuple[str, bytes]]:
        return self.given

    def offset(self) -> int:
        return self.number

    def timestamp(self) -> tuple[int, int]:
        return 0, 1_700_000_000_000

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return self.content

    def __len__(self) -> int:
        return len(self.content)


class Collected:
    """Stands where the publisher does: an answer that comes here is confirmed at once."""

    def __init__(self, ledger: InFlightJobs) -> None:
        self._ledger = ledger
        self.answers: dict[int, Answer] = {}
        self.came = threading.Condition()

    def publish(self, answer: Answer) -> None:
        held = self._ledger.answered(answer.slot, 1)
        if held is None:
            return
        with self.came:
            assert answer.slot not in self.answers
            self.answers[answer.slot] = answer
            self._ledger.confirmed([held])
            self.came.notify_all()


class Driver:
    """Give it jobs by their words; it ticks the supervisor until what you wait for has happened."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        registry = MemoryRegistry()
        self._codec = Codec(registry)
        self._encoder = self._codec.encoder(REQUESTS, request_schema(KILLER), register=True)
        self._codec.encoder(RESULTS, result_schema(KILLER), register=True)
        ids = {
            REQUESTS: registry.lookup(REQUESTS, request_schema(KILLER)),
            RESULTS: registry.lookup(RESULTS, result_schema(KILLER)),
        }
        known = {"home": str(folder), "schema_registry_url": "http://127.0.0.1:9", "log_level": "warning"}
        self.config = ChildConfig(
            processor="killer",
            worker_id="w1",
            device="cpu",
            scratch=str(folder),
            settings=known | settings,
            topics=[["requests.killer", "tid"], ["requests.killer.bulk", "tid2"]],
            schema_ids={subject: found for subject, found in ids.items() if found is not None},
        )
        self.ledger = InFlightJobs(10_000)
        self.collected = Collected(self.ledger)
        self.supervisor = Supervisor(self.config, self.ledger)
        self.supervisor.publisher = cast(Publisher, self.collected)
        self.notes: list[ProgressUpdate] = []
        self.owned = Assignment("requests.killer", 0, 0)
        self._sent = 0

    def start(self) -> None:
        assert self.supervisor.start(lambda: False) is not None

    def send(self, *words: str, **header: Any) -> list[InFlightJob]:
        """Their places in the ledger."""
        admitted = self.ledger.admit([(self.message(each, **header), self.owned) for each in words], 0)
        self.supervisor.send(admitted)
        return admitted

    def message(self, words: str, **changed: Any) -> Message:
        job_id = new_id()
        header = JobHeader(job_id, "killer", datetime.now(UTC), input_sha256="", **changed)
        given = [(JOB, job_id.encode())]
        if header.deadline is not None:
            given.append((DEADLINE, header.deadline.isoformat().encode()))
        value = self._encoder.encode(to_plain(Request(header, EchoInput(words))))
        self._sent += 1
        return Message(job_id, self._sent, value, given)

    def until(self, happened: Callable[[], bool]) -> None:
        """Tick, as the worker's main loop does; each answer wakes it."""
        limit = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < limit, f"{len(self.collected.answers)} of {self._sent} were answered"
            self.notes += self.supervisor.tick(time.monotonic())
            self.supervisor.pump(0)
            with self.collected.came:
                self.collected.came.wait(0.02)

    def until_answered(self, *jobs: InFlightJob) -> None:
        self.until(lambda: all(held.slot in self.collected.answers for held in jobs))

    def until_running(self, *jobs: InFlightJob) -> None:
        self.until(lambda: all(held.started for held in jobs))

    def ending(self, held: InFlightJob) -> tuple[str, str | None, int]:
        """Disposition, error code and execution."""
        answer = self.collected.answers[held.slot]
        error = self._result(held)["result"]["error"]
        return answer.disposition.value, None if error is None else error["code"], answer.execution

    def said(self, held: InFlightJob) -> str:
        return str(self._result(held)["output"]["message"])

    def result(self, held: InFlightJob) -> dict[str, Any]:
        """What the worker says of the attempt."""
        return dict(self._result(held)["result"])

    def _result(self, held: InFlightJob) -> dict[str, Any]:
        return self._codec.decode(self.collected.answers[held.slot].value)


@contextmanager
def driving(folder: Path, **settings: Any) -> Iterator[Driver]:
    driver = Driver(folder, **settings)
    try:
        driver.start()
        yield driver
    finally:
        driver.supervisor.stop(2.0)
