"""A processor that prepares and finishes in helper processes, and does there whatever a job's message says."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.policy import Batch, Limits, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.errors import InvalidInput, JobCancelled
from schemas.records import EchoInput, EchoOutput

#: Of an array that does not fit into a message.
LARGE = 50_000


@dataclass(frozen=True, slots=True)
class Item:
    message: str
    values: NDArray[np.float64]
    prepared_by: int
    ctx: JobContext


class Helped:
    name, version, request, result, model_sha256 = "killer", "1", EchoInput, EchoOutput, ""
    policy = Policy(batch=Batch(4), limits=Limits(executions=2, hard_ms=20_000), processes=2)

    def load(self, ctx: LoadContext) -> None:
        if ctx.helper and "broken" in os.environ.get("SLUICE_TEST_HELPER", ""):
            raise OSError("libcodec.so.3: cannot open shared object file")
        self.model_sha256 = "" if ctx.helper else "f" * 64

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> Any:
        message = job.input.message
        if message == "kill the helper":
            os.kill(os.getpid(), signal.SIGKILL)
        if message == "invalid":
            raise InvalidInput("invalid")
        if message == "not sent":
            return lambda: None
        if message == "endless":
            time.sleep(1_000)
        if message == "stops":
            ctx.progress("waiting", 50.0, "for a cancel")
            while not ctx.cancelled():
                time.sleep(0.005)
            raise JobCancelled("seen")
        return Item(message, np.arange(LARGE, dtype=np.float64) / 3, os.getpid(), ctx)

    def run(self, items: Sequence[Item]) -> Sequence[Any]:
        if any(item.message == "bad in run" for item in items):
            raise ValueError("run")
        if any(item.message == "stops in run" for item in items):
            while not items[0].ctx.cancelled():
                time.sleep(0.005)
        for item in items:
            item.ctx.stream_text(item.message)
            item.values[0] = os.getpid()  # the memory is this process's own
        return [JobCancelled("seen") if item.ctx.cancelled() else item for item in items]

    def finish(self, job: Job[EchoInput], raw: Item, ctx: JobContext) -> EchoOutput:
        if job.input.message == "kill in finish":
            os.kill(os.getpid(), signal.SIGKILL)
        assert raw.ctx is ctx
        path = ctx.scratch() / "out.txt"
        path.write_text(raw.message)
        ctx.save(path, "text/plain")
        by_one_helper, ran_in_the_child = raw.prepared_by == os.getpid(), raw.values[0] == os.getppid()
        bits = hashlib.sha256(raw.values[1:].tobytes()).hexdigest()
        return EchoOutput(f"{raw.message} {by_one_helper} {ran_in_the_child} {bits}", raw.values.size)
