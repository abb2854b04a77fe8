"""The smallest processor: returns its input. It needs no model and no numpy, so it measures the engine itself.

`delay_ms` stands for work on the device and `fail` for a failure, so that a backend can try every path it must handle.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from processors.policy import Batch, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.errors import InvalidInput, JobError, ProcessorBug
from schemas.records import EchoInput, EchoOutput

Outcome = EchoInput | JobError

LONGEST_DELAY_MS = 86_400_000


def _engine_errors(root: type[JobError]) -> Iterator[type[JobError]]:
    """Yield the engine's own job errors, the root first. A processor may have subclasses with codes of any type."""
    yield root
    for child in root.__subclasses__():
        if child.__module__ == JobError.__module__:
            yield from _engine_errors(child)


#: The error for each code: the class nearest the root, but ProcessorBug for the code that it shares with the root.
_ERRORS: dict[str, type[JobError]] = {kind.code.value: kind for kind in reversed(list(_engine_errors(JobError)))}
_ERRORS[ProcessorBug.code.value] = ProcessorBug


class Echo:
    name = "echo"
    version = "1"
    request = EchoInput
    result = EchoOutput
    policy = Policy(batch=Batch(max_size=500, max_wait_ms=0.0))
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def warm_up(self) -> None:
        """Nothing can be slow or broken here; a worker that doubts itself asks for it."""

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> EchoInput:
        if not 0 <= job.input.delay_ms <= LONGEST_DELAY_MS:
            raise InvalidInput(
                f"delay_ms must not be negative, nor above {LONGEST_DELAY_MS} (a day).",
                next_step="Give the milliseconds to wait, or 0.",
            )
        return job.input

    def run(self, items: Sequence[EchoInput]) -> Sequence[Outcome]:
        """Wait once, for the longest delay in the batch, as a device would."""
        longest = max(item.delay_ms for item in items)
        if longest:
            time.sleep(longest / 1000.0)
        return [item if item.fail is None else requested_failure(item.fail) for item in items]

    def finish(self, job: Job[EchoInput], raw: EchoInput, ctx: JobContext) -> EchoOutput:
        return EchoOutput(raw.message, len(raw.message))


def requested_failure(code: str) -> JobError:
    """Return the error that a job asked to fail with; ProcessorBug if no job error has that code."""
    kind = _ERRORS.get(code)
    if kind is None:
        return ProcessorBug(
            f"Asked to fail with {code[:60]!r}, which is not an error code. Error codes: docs/job_states.md."
        )
    return kind(f"Failed with {code}, as the job's `fail` asked.")
