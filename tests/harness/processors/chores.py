"""Three processors whose answer is known before the job is submitted: one for each way in which a worker gets its jobs.

`chore` is read from the log in any order, `queue` in the order of each key, `errand` is claimed by lease. The answer is the
message, reversed. A job with `fail` "once" fails its first attempt; with "always" its input is invalid.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from processors.policy import Batch, LeasePolicy, Limits, Order, Policy, Retry
from processors.protocol import Job, JobContext, LoadContext
from schemas.contract import ProcessorContract
from schemas.errors import ConnectionFailed, InvalidInput
from schemas.records import EchoInput, EchoOutput
from schemas.states import Custody
from tests.harness.packages import install

AVRO = Path(__file__).parent / "avro"
CHORE: ProcessorContract[EchoInput, EchoOutput] = ProcessorContract("chore", EchoInput, EchoOutput, AVRO)
QUEUE: ProcessorContract[EchoInput, EchoOutput] = ProcessorContract("queue", EchoInput, EchoOutput, AVRO)
ERRAND: ProcessorContract[EchoInput, EchoOutput] = ProcessorContract(
    "errand", EchoInput, EchoOutput, AVRO, Custody.LEASE.value
)
CONTRACTS = (CHORE, QUEUE, ERRAND)

#: Many kills may meet one job; none of them is its fault.
PATIENT = Limits(executions=1000)
RETRY = Retry(base_s=0.5, factor=1.0)


class Chore:
    """Takes as long as the longest `delay_ms` of its batch."""

    name, version, request, result, model_sha256 = "chore", "1", EchoInput, EchoOutput, ""
    policy = Policy(batch=Batch(20), retry=RETRY, limits=PATIENT, in_flight=400)

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> EchoInput:
        if job.input.fail == "always":
            raise InvalidInput("This input never succeeds.")
        if job.input.fail == "once" and job.header.attempt == 1:
            raise ConnectionFailed("Not at the first attempt.")
        return job.input

    def run(self, items: Sequence[EchoInput]) -> Sequence[str]:
        time.sleep(max(item.delay_ms for item in items) / 1000)
        return [item.message[::-1] for item in items]

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        return EchoOutput(raw, len(raw))


class Queue(Chore):
    name = "queue"
    policy = Policy(batch=Batch(4), order=Order.KEY, retry=Retry(base_s=0.1, factor=1.0), limits=PATIENT)


class Errand(Chore):
    name = "errand"
    policy = Policy(custody=Custody.LEASE, batch=Batch(4), lease=LeasePolicy(2.0), retry=RETRY, limits=PATIENT)


def installed(folder: Path) -> str:
    """Install all three below the new folder `folder`. Returns the PYTHONPATH to run with."""
    module = "tests.harness.processors.chores"  # also when this file runs under another name
    paths = [
        install(folder / name, name, f"{module}:{name.upper()}", {name: f"{module}:{name.capitalize()}"})
        for name in ("chore", "queue", "errand")
    ]
    return os.pathsep.join(paths)
