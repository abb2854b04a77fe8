"""Processors that reach every port of a job: they save a file, keep a checkpoint and report progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from processors.policy import Batch, LeasePolicy, Limits, Policy, Retry
from processors.protocol import Job, JobContext, LoadContext
from schemas.errors import JobError
from schemas.records import EchoInput, EchoOutput
from schemas.states import Custody
from tests.harness.processors.leased import LEASE_S
from tests.injection.simulation import current

#: Virtual seconds of a slow job: several heartbeats, and longer than progress is held back.
SLOW_S = 1.2


class Probe:
    """ "save" stores a file and a checkpoint, "slow" reports progress for a while, "again" fails once, "fail" for ever."""

    name, version, request, result, model_sha256 = "echo", "1", EchoInput, EchoOutput, ""
    policy = Policy(batch=Batch(2), retry=Retry(base_s=0.1))

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> EchoInput:
        from processors.echo import requested_failure

        ctx.progress("prepared", 50.0)
        if job.input.fail is not None and (job.header.attempt == 1 or job.input.message in ("fail", "late")):
            raise requested_failure(job.input.fail)
        if job.input.message == "save" and ctx.checkpoint.get() is None:
            ctx.checkpoint.put(b"half")
        if job.input.message == "slow":
            current().sleep(SLOW_S)
        return job.input

    def run(self, items: Sequence[EchoInput]) -> Sequence[EchoInput | JobError]:
        return list(items)

    def finish(self, job: Job[EchoInput], raw: EchoInput, ctx: JobContext) -> EchoOutput:
        if raw.message == "save":
            path = ctx.scratch() / "out.txt"
            path.write_text(raw.message)
            ctx.save(path, "text/plain")
        return EchoOutput(raw.message, len(raw.message))


class LeasedProbe(Probe):
    name = "leased"
    policy = Policy(
        custody=Custody.LEASE,
        batch=Batch(2),
        retry=Retry(base_s=0.1),
        lease=LeasePolicy(LEASE_S),
        limits=Limits(executions=3),
    )


PROCESSORS: dict[str, Any] = {"echo": Probe, "leased": LeasedProbe}
