"""A supervisor with a real child process, and a log that is a list: no broker, no registry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.avsc import request_schema, result_schema
from schemas.codec import Codec
from schemas.headers import DEADLINE, JOB
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import EchoInput, JobHeader, Request
from schemas.registry import MemoryRegistry
from streams.health.loop_threads import LoopThreads
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob, JobOrigin, JobState
from streams.worker.protocol import Answer, ChildConfig
from streams.worker.supervision.limits import ProgressUpdate, deadline_from_headers
from streams.worker.supervision.supervisor import Supervisor
from tests.harness.jobs import new_job
from tests.harness.processors.killer import KILLER
from tests.harness.waiting import wait_until

REQUESTS, RESULTS = "requests.killer-value", "results.killer-value"


class Collected:
    """Stands in for the publisher: confirms each answer at once."""

    def __init__(self, in_flight: InFlightJobs) -> None:
        self._in_flight = in_flight
        self.answers: dict[int, Answer] = {}
        self.reports: list[ProgressUpdate] = []
        self.came = threading.Condition()

    def publish(self, answer: Answer) -> None:
        job = self._in_flight.answered(answer.slot, 1)
        if job is None:
            return
        with self.came:
            assert answer.slot not in self.answers
            self.answers[answer.slot] = answer
            self._in_flight.confirmed([job])
            self.came.notify_all()


class Driver:
    """Sends jobs, named by their messages, and ticks the supervisor until the expected has happened."""

    def __init__(self, folder: Path, device: str = "cpu", **settings: Any) -> None:
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
            device=device,
            scratch=str(folder),
            settings=known | settings,
            topics=[["requests.killer", "tid"], ["requests.killer.bulk", "tid2"]],
            schema_ids={subject: found for subject, found in ids.items() if found is not None},
        )
        self.in_flight = InFlightJobs()
        self.collected = Collected(self.in_flight)
        self.supervisor = Supervisor(
            self.config,
            self.in_flight,
            self.collected.publish,
            self.collected.reports.append,
            lambda job: deadline_from_headers(job).at,
            LoopThreads("worker", None),
        )
        self.updates: list[ProgressUpdate] = []
        self._origin = JobOrigin("requests.killer", 0, 0)
        self._sent = 0

    def start(self) -> None:
        assert self.supervisor.start(lambda: False) is not None

    def send(self, *messages: str, **header: Any) -> list[InFlightJob]:
        """Admit a job for each message and send it to the child."""
        jobs = self.admit(*messages, **header)
        self.supervisor.send(jobs)
        return jobs

    def admit(self, *messages: str, **header: Any) -> list[InFlightJob]:
        return self.in_flight.admit([self._job(message, **header) for message in messages])

    def _job(self, message: str, **changed: Any) -> InFlightJob:
        job_id = new_id()
        header = JobHeader(job_id, "killer", datetime.now(UTC), input_sha256="", **changed)
        headers = [(JOB, job_id.encode())]
        if header.deadline is not None:
            headers.append((DEADLINE, header.deadline.isoformat().encode()))
        value = self._encoder.encode(to_plain(Request(header, EchoInput(message))))
        self._sent += 1
        return new_job(self._origin, self._sent, value=value, headers=headers)

    def until(self, happened: Callable[[], bool]) -> None:
        """Tick, as the engine's loop does; each answer wakes it."""
        wait_until(happened, lambda: f"{len(self.collected.answers)} of {self._sent} were answered", step=self._turn)

    def until_answered(self, *jobs: InFlightJob) -> None:
        self.until(lambda: all(job.slot in self.collected.answers for job in jobs))

    def until_running(self, *jobs: InFlightJob) -> None:
        self.until(lambda: all(job.state is JobState.RUNNING for job in jobs))

    def ending(self, job: InFlightJob) -> tuple[str, str | None, int]:
        """Disposition, error code and execution."""
        answer = self.collected.answers[job.slot]
        error = self._result(job)["result"]["error"]
        return answer.disposition.value, None if error is None else error["code"], answer.execution

    def said(self, job: InFlightJob) -> str:
        return str(self._result(job)["output"]["message"])

    def result(self, job: InFlightJob) -> dict[str, Any]:
        """The result's part that the worker writes."""
        return dict(self._result(job)["result"])

    def _turn(self) -> None:
        self.updates += self.supervisor.tick(time.monotonic())
        self.supervisor.pump(0)
        with self.collected.came:
            self.collected.came.wait(0.02)

    def _result(self, job: InFlightJob) -> dict[str, Any]:
        return self._codec.decode(self.collected.answers[job.slot].value)


@contextmanager
def driving(folder: Path, device: str = "cpu", **settings: Any) -> Iterator[Driver]:
    driver = Driver(folder, device, **settings)
    try:
        driver.start()
        yield driver
    finally:
        driver.supervisor.stop(2.0)
