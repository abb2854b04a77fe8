"""The processors of `python -m bench.device`: devices whose time is known, so that all else is the engine's.

Each is a version of `echo`: it takes and returns echo's records. The option BENCH_DEVICE_POLICY has the fields of the policy to
measure under, as JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from processors.policy import Batch, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.records import EchoInput, EchoOutput

OPTION = "BENCH_DEVICE_POLICY"
#: What a network launches for one batch, and how long its device then works.
CALLS = 5_000
BATCH_S, ITEM_S = 0.020, 0.0002
Floats = NDArray[np.float32]


class Launching:
    """Makes many small calls, as a network launches its kernels, then sleeps, as if it waited for them.

    `prepare` makes normalized floats of a text, a byte each.
    """

    name, request, result, model_sha256 = "echo", EchoInput, EchoOutput, ""
    version = "launching"
    options = (OPTION,)
    policy = Policy(batch=Batch(max_size=64, max_wait_ms=5.0), in_flight=512)
    #: Length of the text of a job, and jobs of one measurement.
    message_bytes, jobs = 3_072, 1_280
    calls = CALLS

    def load(self, ctx: LoadContext) -> None:
        torch.set_num_threads(1)
        self.policy = replace(self.policy, **json.loads(ctx.option(OPTION, "{}")))

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> Floats:
        pixels = np.frombuffer(job.input.message.encode("latin-1"), dtype=np.uint8)
        normalized: Floats = (pixels.astype(np.float32) / 255.0 - 0.5) / 0.25
        return normalized

    def run(self, items: Sequence[Floats]) -> Sequence[Floats]:
        with torch.inference_mode():
            batch = torch.from_numpy(np.stack(items))
            value = torch.ones(8)
            for _ in range(self.calls):
                value = value * 0.5
            time.sleep(BATCH_S + ITEM_S * len(items))
            return list(batch.mean(dim=1, keepdim=True).numpy())

    def finish(self, job: Job[EchoInput], raw: Floats, ctx: JobContext) -> EchoOutput:
        return EchoOutput(repr(float(raw[0])), len(job.input.message))


class Sleeping(Launching):
    """The same without the small calls: the device leaves the interpreter to others."""

    version, calls = "sleeping", 0


class Volumes(Launching):
    """The shape of `segmentation` on a GPU: 91 ms of CPU for a volume before 10 ms of the device, and 58 ms after them."""

    version = "volumes"
    policy = Policy(batch=Batch(max_size=1), in_flight=16)
    message_bytes, jobs = 100, 12
    prepare_s, device_s, finish_s = 0.091, 0.010, 0.058

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> Floats:
        volume = np.full((96, 96, 48), len(job.input.message), dtype=np.float32)
        _compute(volume, self.prepare_s)
        return volume

    def run(self, items: Sequence[Floats]) -> Sequence[Floats]:
        time.sleep(self.device_s * len(items))
        return list(items)

    def finish(self, job: Job[EchoInput], raw: Floats, ctx: JobContext) -> EchoOutput:
        _compute(raw, self.finish_s)
        return EchoOutput(repr(float(raw[0, 0, 0])), raw.size)


def _compute(volume: Floats, seconds: float) -> None:
    """Use `seconds` of a CPU: about a third of it in Python, the rest in numpy, which releases the interpreter."""
    ends = time.thread_time() + seconds
    while (began := time.thread_time()) < ends:
        np.sqrt(volume * 0.5 + 1.0)
        python_ends = began + 1.5 * (time.thread_time() - began)
        while time.thread_time() < python_ends:
            pass


DEVICES: dict[str, type[Any]] = {each.version: each for each in (Launching, Sleeping, Volumes)}
