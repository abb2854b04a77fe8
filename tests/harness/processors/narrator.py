"""A processor that streams its answer word by word, as a language model would.

`installed` makes it known by entry points of its own, as any other distribution's processor is.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from processors.policy import Batch, Policy, Retry
from processors.protocol import Job, JobContext, LoadContext
from schemas.contract import ProcessorContract
from schemas.errors import ConnectionFailed, JobError
from schemas.records import EchoInput, EchoOutput
from tests.harness.packages import install

NARRATOR: ProcessorContract[EchoInput, EchoOutput] = ProcessorContract(
    "narrator", EchoInput, EchoOutput, Path(__file__).parent / "avro"
)

Item = tuple[Job[EchoInput], JobContext]


class Narrator:
    """Streams each word of the message, `delay_ms` apart. With `fail` the first attempt ends after its first word: by an
    error, or (`fail: kill`) by the death of its process. A message with `gate:PATH` waits there until that file exists."""

    name, version, request, result, model_sha256 = "narrator", "1", EchoInput, EchoOutput, ""
    policy = Policy(batch=Batch(4), retry=Retry(base_s=0.05, factor=1.0))

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> Item:
        return job, ctx

    def run(self, items: Sequence[Item]) -> Sequence[str | JobError]:
        if any(job.input.message == "poison" for job, _ in items):
            for _, ctx in items:
                ctx.stream_text("from a batch that fails ")
            raise ValueError("poison")
        return [self._narrate(*item) for item in items]

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        return EchoOutput(raw, len(raw))

    def _narrate(self, job: Job[EchoInput], ctx: JobContext) -> str | JobError:
        ctx.progress("narrating", 0.0)
        said = []
        for number, word in enumerate(job.input.message.split()):
            if word.startswith("gate:"):
                while not Path(word.removeprefix("gate:")).exists():
                    time.sleep(0.01)
                continue
            time.sleep(job.input.delay_ms / 1000)
            if number and job.input.fail == "kill" and not (marker := ctx.checkpoint).get():
                marker.put(b"killed")
                os.kill(os.getpid(), signal.SIGKILL)
            if number and job.input.fail == "retry" and job.header.attempt == 1:
                return ConnectionFailed("The model server has gone away.")
            said.append(word)
            ctx.stream_text(word + " ")
        return " ".join(said)


def installed(site: Path) -> str:
    """Install it into the new folder `site`. Returns the PYTHONPATH to run with."""
    module = "tests.harness.processors.narrator"  # also when this file runs under another name
    return install(site, "narrator", f"{module}:NARRATOR", {"narrator": f"{module}:Narrator"})
