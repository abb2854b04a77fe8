"""A processor on a device of the tests' own, which fails under a job called `assert` and then under every other, as CUDA does
after a device-side assert: until the process is replaced.

It answers to the name and the contract of `killer`. The device's name ends with its number: `fake:0` works in every new
process, `fake:1` only in those that start before a device was lost.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from processors.devices import register_check
from processors.policy import Batch, LeasePolicy, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.errors import InvalidInput, JobError
from schemas.records import EchoInput, EchoOutput
from schemas.states import Custody


class AcceleratorError(RuntimeError):
    """Bears the name of torch's."""


class FakeDevice:
    lost = False
    pending = False  # an error in a kernel that has not shown yet

    def check(self, name: str, settle: bool) -> str | None:
        self.lost |= self.pending and settle
        return "device-side assert triggered" if self.lost or self.is_broken() else None

    def is_broken(self) -> bool:
        """True once the file that SLUICE_TEST_BROKEN names exists: the device fails in new processes, too."""
        return Path(os.environ.get("SLUICE_TEST_BROKEN", "/nowhere")).exists()

    def use(self, settle: bool = False) -> None:
        self.lost |= self.pending and settle
        if self.lost or self.is_broken():
            raise AcceleratorError("CUDA error: device-side assert triggered")


DEVICE = FakeDevice()
register_check("fake", DEVICE.check)


class Fragile:
    """`assert` breaks the device at once, `late` once an output is read (`silent`: another job's), `caught` at once and returns
    a JobError;
    `finish` breaks it in `finish`, `bad` fails alone."""

    name, version, request, result, model_sha256 = "killer", "1", EchoInput, EchoOutput, ""
    policy = Policy(batch=Batch(8))

    def load(self, ctx: LoadContext) -> None:
        assert ctx.device.startswith("fake")

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> str:
        if job.input.message == "bad":
            raise InvalidInput("A bad input.")
        return job.input.message

    def run(self, items: Sequence[str]) -> Sequence[str | JobError]:
        if "assert" in items or "caught" in items:
            DEVICE.lost = True
        if "late" in items or "silent" in items:
            DEVICE.pending = True
        if "caught" in items:
            return [JobError("The device failed.") for _ in items]
        DEVICE.use()
        if "value" in items:
            raise ValueError("an error that leaves the device alone")
        return [f"{item} {os.getpid()}" for item in items]

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        if job.input.message == "finish":
            DEVICE.lost = True
        if job.input.message != "silent":
            DEVICE.use(settle=True)
        return EchoOutput(raw, len(raw))


class Asserting(Fragile):
    """Works on a real GPU: `assert` reads beyond a table there."""

    def load(self, ctx: LoadContext) -> None:
        import torch

        self._table = torch.arange(4, device=ctx.device)

    def run(self, items: Sequence[str]) -> Sequence[str | JobError]:
        places = [99 if item == "assert" else 1 for item in items]
        found = self._table[self._table.new_tensor(places)].tolist()
        return [f"{item} {number}" for item, number in zip(items, found, strict=True)]

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        return EchoOutput(raw, len(raw))


class AssertingWithThreads(Asserting):
    policy = Policy(batch=Batch(8), threads=2)


class LeasedFragile(Fragile):
    name = "leased"
    policy = Policy(custody=Custody.LEASE, batch=Batch(4), lease=LeasePolicy(5.0))


class FragileWithThreads(Fragile):
    policy = Policy(batch=Batch(8), threads=2)
