"""Several versions of a processor. They answer to the name and the contract of `killer`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from processors.protocol import Job, JobContext
from schemas.records import EchoInput, EchoOutput
from tests.harness.processors.killer import Killer


class First(Killer):
    def __init__(self) -> None:
        self.warm = False

    def warm_up(self) -> None:
        self.warm = True

    def run(self, items: Sequence[EchoInput]) -> Sequence[str]:
        return [f"{item.message} by {self.version}" for item in items]

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        return EchoOutput(f"{raw}, {'warm' if self.warm else 'cold'}", os.getpid())


class Second(First):
    version, model_sha256 = "2", "cd" * 32


class Cold(First):
    version = "3"

    def warm_up(self) -> None:
        raise RuntimeError("the first kernel failed")
