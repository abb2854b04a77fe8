"""A processor whose jobs are claimed by lease. A job's message says how long it takes and how it ends.

`installed` makes it known by entry points of its own, as any other distribution's processor is.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from processors.policy import Batch, LeasePolicy, Limits, Policy, Retry
from processors.protocol import Job, JobContext, LoadContext
from schemas.contract import ProcessorContract
from schemas.errors import ConnectionFailed, JobCancelled
from schemas.records import EchoInput, EchoOutput
from schemas.states import Custody
from tests.harness.packages import install

LEASE_S = 1.0
LEASED: ProcessorContract[EchoInput, EchoOutput] = ProcessorContract(
    "leased", EchoInput, EchoOutput, Path(__file__).parent / "avro", Custody.LEASE.value
)


class Leased:
    """Does what the message says: "polite" stops when cancelled, "kill" ends its process, "again" needs a second attempt,
    "until PATH" works until that file exists. Anything else works on and ignores a cancel."""

    name, version, request, result, model_sha256 = "leased", "1", EchoInput, EchoOutput, ""
    policy = Policy(
        custody=Custody.LEASE,
        batch=Batch(2),
        lease=LeasePolicy(LEASE_S),
        limits=Limits(executions=2, cancel_grace_ms=300),
        retry=Retry(base_s=0.1),
    )

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> tuple[EchoInput, JobContext]:
        if job.input.message == "again" and job.header.attempt == 1:
            raise ConnectionFailed("What it needs does not answer yet.")
        return job.input, ctx

    def run(self, items: Sequence[tuple[EchoInput, JobContext]]) -> Sequence[str | JobCancelled]:
        return [self._one(*item) for item in items]

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        return EchoOutput(raw, len(raw))

    def _one(self, given: EchoInput, ctx: JobContext) -> str | JobCancelled:
        if given.message == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        until = time.monotonic() + given.delay_ms / 1000
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.02))
            if given.message == "polite" and ctx.cancelled():
                return JobCancelled("It was asked to stop.")
            if given.message.startswith("until ") and Path(given.message[6:]).exists():
                break
        return given.message


class ByOffset(Leased):
    """A processor whose policy contradicts its contract."""

    policy = Policy()


def installed(site: Path, processor: str = "Leased") -> str:
    """Install it into the new folder `site`. Returns the PYTHONPATH to run with."""
    module = "tests.harness.processors.leased"  # also when this file runs under another name
    return install(site, "leased", f"{module}:LEASED", {"leased": f"{module}:{processor}"})
