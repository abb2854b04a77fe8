"""Measures the latency of one job on an idle stack: from the call of `submit` to the arrival of its callback."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.receiver import Receiver
from bench.stats import percentile
from schemas.errors import SluiceError
from schemas.records import EchoInput
from streams.client.submitter import Submitter
from streams.settings import Settings

#: How long to wait for one callback, in seconds; the first job needs longer because caches are cold.
TIMEOUT_S = 30.0
MESSAGE = "x" * 200  # with its header about 500 bytes on the wire


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """Milliseconds from submit to callback of one job at a time."""

    jobs: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def measure(settings: Settings, jobs: int, warm_up: int, on_job: Callable[[], None]) -> LatencyReport:
    """Submit `jobs` echo jobs one after another. Raises SluiceError if a callback does not arrive."""
    pause = random.Random(1)
    with Receiver() as receiver, Submitter(settings) as submitter:
        times = []
        for number in range(warm_up + jobs):
            times.append(_one(submitter, receiver, number))
            on_job()
            time.sleep(pause.uniform(0.002, 0.02))  # so that jobs do not fall in step with a timer in the system
    measured = times[warm_up:]
    return LatencyReport(
        jobs, percentile(measured, 50), percentile(measured, 90), percentile(measured, 99), max(measured)
    )


def _one(submitter: Submitter, receiver: Receiver, number: int) -> float:
    started = time.monotonic()
    job_id = submitter.submit_nowait("echo", EchoInput(MESSAGE), callback_url=receiver.url)
    if not receiver.wait_for(number + 1, TIMEOUT_S):
        raise SluiceError(
            f"The callback of job {job_id} did not arrive within {TIMEOUT_S:.0f} s.",
            next_step=f"See `sluice status` and `sluice job {job_id}`.",
        )
    return (receiver.callbacks[-1].at - started) * 1000
