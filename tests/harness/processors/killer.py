"""A processor that kills its process on request, as a fault in native code or the out-of-memory killer would.

`installed` makes it known by entry points of its own, as any other distribution's processor is.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from processors.policy import Batch, Limits, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.contract import ProcessorContract
from schemas.records import EchoInput, EchoOutput
from tests.harness.packages import install

KILLER: ProcessorContract[EchoInput, EchoOutput] = ProcessorContract(
    "killer", EchoInput, EchoOutput, Path(__file__).parent / "avro"
)


class Killer:
    name, version, request, result, model_sha256 = "killer", "1", EchoInput, EchoOutput, ""
    policy = Policy(batch=Batch(5), limits=Limits(executions=2))

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> EchoInput:
        return job.input

    def run(self, items: Sequence[EchoInput]) -> Sequence[str]:
        time.sleep(0.02)
        if any(item.message == "kill" for item in items):
            os.kill(os.getpid(), signal.SIGKILL)
        return [item.message for item in items]

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        return EchoOutput(raw, len(raw))


class HostKiller(Killer):
    """Takes its worker's parent with it, as a fault that takes the whole host would."""

    policy = Policy(batch=Batch(5))

    def run(self, items: Sequence[EchoInput]) -> Sequence[str]:
        if any(item.message == "kill" for item in items):
            os.kill(os.getppid(), signal.SIGKILL)
        return super().run(items)


class Gated(Killer):
    """A job called `wait` is done once the file that SLUICE_TEST_GATE names exists; others pass it."""

    policy = Policy(batch=Batch(5), threads=2)

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> EchoInput:
        while job.input.message == "wait" and not Path(os.environ["SLUICE_TEST_GATE"]).exists():
            time.sleep(0.02)
        return job.input


class OneAtATime(Killer):
    """Holds one job at most, and works on it for as long as it says."""

    policy = Policy(in_flight=1)

    def run(self, items: Sequence[EchoInput]) -> Sequence[str]:
        time.sleep(items[0].delay_ms / 1000)
        return [item.message for item in items]


class Broken(Killer):
    def load(self, ctx: LoadContext) -> None:
        raise OSError("libmodel.so.3: cannot open shared object file")


class Dying(Killer):
    def load(self, ctx: LoadContext) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def installed(site: Path, processor: str = "Killer", module: str = __name__, **labelled: str) -> str:
    """Install it into the new folder `site`; `labelled` are other versions of it. Returns the PYTHONPATH to run with."""
    versions = {f"killer@{label}": f"{module}:{other}" for label, other in labelled.items()}
    return install(site, "killer", f"{__name__}:KILLER", {"killer": f"{module}:{processor}", **versions})
