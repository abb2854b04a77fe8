"""A worker's self-test: the processor's `warm_up`, and the request of its last job that succeeded, run alone in the child."""

from __future__ import annotations

import time

from schemas.errors import ErrorCode
from schemas.states import Disposition
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob, JobOrigin, JobState
from streams.worker.protocol import Answer, Flag
from streams.worker.supervision.supervisor import Supervisor

#: The test is a job of its own, which no source brought: nothing of it is published.
ORIGIN = JobOrigin("", 0, 0)
PASSED = "passed"


class SelfTest:
    """`answered` is called by the child's reader thread, the rest by the engine's. `limit_s`: how long a test may run."""

    def __init__(self, in_flight: InFlightJobs, supervisor: Supervisor, limit_s: float) -> None:
        self._in_flight = in_flight
        self._supervisor = supervisor
        self._limit_s = limit_s
        self._job: InFlightJob | None = None
        self._answer: Answer | None = None
        self._began: float | None = None

    @property
    def running(self) -> bool:
        return self._job is not None

    def start(self, value: bytes) -> None:
        """Run the test; `value` is a request, or b"" for `warm_up` alone."""
        job = InFlightJob(ORIGIN, -1, None, value, None, 0, 0, time.time_ns() // 1000, Flag.TEST | Flag.ISOLATED)
        self._answer, self._began = None, None
        (self._job,) = self._in_flight.admit([job])
        self._supervisor.send([job])

    def answered(self, answer: Answer) -> bool:
        """Return True for the test's own answer."""
        job = self._job
        if job is None or answer.slot != job.slot:
            return False
        self._answer = answer
        return True

    def failure(self, now: float) -> str | None:
        """Return how the test failed, PASSED, or None while it goes on. A child that dies under it has failed it."""
        job, answer = self._job, self._answer
        assert job is not None
        if answer is not None:
            return PASSED if answer.disposition is Disposition.SUCCEEDED else answer.failure
        if job.crashes or job.device_faults:
            return ErrorCode.DEVICE_FAULT if job.device_faults else ErrorCode.WORKER_LOST
        if job.state is JobState.RUNNING:
            self._began = self._began or now
            if now >= self._began + self._limit_s:
                return ErrorCode.TIMEOUT_ERROR
        return None

    def stop(self) -> None:
        """Forget the test."""
        if self._job is not None:
            self._in_flight.release([self._job.slot])
            self._job = None
