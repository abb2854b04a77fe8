"""A processor that is not installed, for tests of flows: the echo's types, and errors on request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from processors.policy import Batch, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.contract import ProcessorContract
from schemas.errors import ConnectionFailed, InvalidInput
from schemas.records import EchoInput, EchoOutput


class Shout:
    """Upper case. Fails `failures` times, and on an empty message or one with "bug"."""

    name, version, request, result, model_sha256 = "shout", "1", EchoInput, EchoOutput, ""
    policy = Policy(batch=Batch(8))

    def __init__(self) -> None:
        self.failures = 0
        self.runs: list[list[str]] = []

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> str:
        ctx.progress("prepare", 10.0, "hm")
        if job.input.message == "":
            raise InvalidInput("There is nothing to shout.")
        return job.input.message

    def run(self, items: Sequence[str]) -> Sequence[str]:
        self.runs.append(list(items))
        if self.failures:
            self.failures -= 1
            raise ConnectionFailed("The storage is away.")
        if "bug" in items:
            raise ValueError("bug")
        return [item.upper() for item in items]

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        return EchoOutput(raw, len(raw))


AVRO = Path(__file__).parent / "avro"
SHOUT = ProcessorContract("shout", EchoInput, EchoOutput, AVRO)
