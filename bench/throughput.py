"""Measures how many jobs per second are submitted, run, stored in Postgres and called back.

All jobs are submitted as fast as Kafka accepts them; the clock runs from the first submit to the last callback. The receiver
is a process of its own, so that it competes for the CPU as a real backend on the same machine would.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from bench.latency import MESSAGE
from schemas.errors import SluiceError
from schemas.ids import new_id
from schemas.records import EchoInput
from streams import wiring
from streams.client.submitter import Submitter
from streams.settings import Settings
from streams.stack.local_stack import LocalStack
from streams.stack.usage import NONE, Usage, usage_by_process, usage_of

POLL_S = 0.1
#: Give up if no new callback arrives for this long, in seconds.
STALL_S = 30.0

#: Submits jobs of a batch with this callback URL, and returns once they are accepted.
Submit = Callable[[Submitter, str, int, str], None]


@dataclass(frozen=True, slots=True)
class ThroughputReport:
    """Figures of one run.

    `seconds`: from the first submit to the last callback. `submit_s`: from the first submit until Kafka confirmed all jobs.
    `completed_rows`: COMPLETED jobs in Postgres. `cpu_us`: CPU time of each process, in microseconds a job; only of processes
    on this machine. `rss_mb`: resident memory of each at the end, in megabytes.
    """

    jobs: int
    seconds: float
    jobs_per_s: float
    submit_s: float
    completed_rows: int
    callbacks: int
    duplicate_callbacks: int
    cpu_us: Mapping[str, float]
    rss_mb: Mapping[str, float]


def submit_echo(submitter: Submitter, url: str, jobs: int, batch: str) -> None:
    """Submit jobs of about 500 bytes to the processor `echo`."""
    for _ in range(jobs):
        submitter.submit_nowait("echo", EchoInput(MESSAGE), callback_url=url, batch_id=batch)
    submitter.flush()


def measure(settings: Settings, jobs: int, warm_up: int, submit: Submit = submit_echo) -> ThroughputReport:
    """Run the benchmark on a running installation. Raises SluiceError if callbacks stop arriving."""
    stack = LocalStack(settings.home)
    with _receiver() as (url, receiver), Submitter(settings) as submitter:
        submit(submitter, url, warm_up, "warm-up")
        _wait(url, warm_up)
        batch = new_id()
        before = _usage(stack, receiver)
        started = time.monotonic()
        submit(submitter, url, jobs, batch)
        submitted = time.monotonic()
        stats = _wait(url, warm_up + jobs)
        after = _usage(stack, receiver)
    seconds = stats["last_new_at"] - started
    with wiring.job_store(settings) as store:
        rows = store.counts(batch_id=batch).get("COMPLETED", 0)
    return ThroughputReport(
        jobs=jobs,
        seconds=seconds,
        jobs_per_s=jobs / seconds,
        submit_s=submitted - started,
        completed_rows=rows,
        callbacks=int(stats["unique"]) - warm_up,
        duplicate_callbacks=int(stats["requests"] - stats["unique"]),
        cpu_us={name: (used.cpu_s - before.get(name, NONE).cpu_s) * 1e6 / jobs for name, used in after.items()},
        rss_mb={name: used.rss / 1e6 for name, used in after.items()},
    )


def _usage(stack: LocalStack, receiver: int) -> dict[str, Usage]:
    return {**usage_by_process(stack.status()), "receiver": usage_of(receiver), "client": usage_of(os.getpid())}


def _wait(url: str, count: int) -> dict[str, float]:
    received, since = -1.0, time.monotonic()
    while True:
        stats = _stats(url)
        if stats["unique"] >= count:
            return stats
        if stats["unique"] > received:
            received, since = stats["unique"], time.monotonic()
        elif time.monotonic() - since > STALL_S:
            raise SluiceError(
                f"Only {received:.0f} of {count} callbacks arrived, and none in the last {STALL_S:.0f} s.",
                next_step="See `sluice status` and the logs it lists.",
            )
        time.sleep(POLL_S)


def _stats(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=10) as reply:
        parsed: dict[str, float] = json.load(reply)
    return parsed


@contextmanager
def _receiver() -> Iterator[tuple[str, int]]:
    """Start the receiver; yield its URL and its pid."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.receiver"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"], process.pid
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
