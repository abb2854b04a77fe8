"""Processors for tests of the worker's own behaviour: they do as each job says, under policies that no shipped one has.

`installed` makes one of them known by entry points of its own, as any other distribution's processor is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from processors.policy import Batch, LaneWeights, Order, Policy, Retry
from processors.protocol import Job, JobContext, LoadContext
from schemas.contract import ProcessorContract
from schemas.errors import ConnectionFailed, JobError
from schemas.records import EchoInput, EchoOutput
from tests.harness.packages import install

PERFORMER: ProcessorContract[EchoInput, EchoOutput] = ProcessorContract(
    "performer", EchoInput, EchoOutput, Path(__file__).parent / "avro"
)


class Performer:
    """Takes as long as the longest `delay_ms` of its batch; a job with `fail` fails its first attempt."""

    name, version, request, result, model_sha256 = "performer", "1", EchoInput, EchoOutput, ""
    policy = Policy()

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> tuple[EchoInput, int]:
        return job.input, job.header.attempt

    def run(self, items: Sequence[tuple[EchoInput, int]]) -> Sequence[str | JobError]:
        time.sleep(max(given.delay_ms for given, _ in items) / 1000)
        return [
            ConnectionFailed("Not yet.") if given.fail and attempt == 1 else f"{given.message} attempt {attempt}"
            for given, attempt in items
        ]

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        return EchoOutput(raw, len(raw))


class Small(Performer):
    """Two hundred in hand, twenty at a time, live before bulk four to one."""

    policy = Policy(batch=Batch(20), in_flight=200, lanes=LaneWeights(live=4, bulk=1))


class ByKey(Performer):
    policy = Policy(batch=Batch(4), order=Order.KEY, retry=Retry(base_s=0.05, factor=1.0))


class ByPartition(Performer):
    policy = Policy(batch=Batch(4), order=Order.PARTITION)


def installed(site: Path, performer: type[Performer]) -> str:
    """Install it into the new folder `site`. Returns the PYTHONPATH to run with."""
    return install(site, "performer", f"{__name__}:PERFORMER", {"performer": f"{__name__}:{performer.__name__}"})
