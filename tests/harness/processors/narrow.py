"""A processor whose device holds little. It answers to the name and the contract of `killer`."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from processors.policy import Batch, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.records import EchoInput, EchoOutput

#: Items that fit, by the letter they begin with: large ones and small ones.
ROOM = {"L": 2, "s": 32}


class Narrow:
    name, version, request, result, model_sha256 = "killer", "1", EchoInput, EchoOutput, ""
    policy = Policy(batch=Batch(32))

    def load(self, ctx: LoadContext) -> None:
        self.device = ctx.device

    def bucket(self, item: str) -> str:
        return item[0]

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> str:
        return job.input.message

    def run(self, items: Sequence[str]) -> Sequence[str]:
        if "L, more than this machine has" in items:
            torch.empty(1 << 50, device=self.device)
        if len(items) > ROOM[items[0][0]]:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {len(items)} volumes.")
        for item in items:
            if "bad" in item:
                raise ValueError(f"{item} among {len(items)}")
        return [f"{item} of {len(items)}" for item in items]

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        return EchoOutput(raw, len(raw))
