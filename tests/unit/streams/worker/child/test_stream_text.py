"""Text that a job streams, when its batch fails and after its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from processors.policy import Batch, Policy
from processors.protocol import Job, JobContext
from schemas.records import EchoInput
from tests.harness.executor_kit import Kit, Upper


class Teller(Upper):
    """Streams each message before the batch fails, and again when it runs."""

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> str:
        self.contexts = {**getattr(self, "contexts", {}), job.input.message: ctx}
        return job.input.message

    def run(self, items: Sequence[str]) -> Sequence[str]:
        for item in items:
            self.contexts[item].stream_text(item)
        return super().run(items)


def test_text_of_a_batch_that_fails_begins_again_when_its_jobs_run_again(tmp_path: Path) -> None:
    processor = Teller(Policy(batch=Batch(4)))
    kit = Kit(processor, tmp_path)
    kit.send(*[kit.request(message) for message in ("a", "bad in run", "b")])
    kit.work()
    assert kit.channel.texts == {0: "a", 1: "bad in run", 2: "b"}


def test_text_of_a_thread_that_outlives_its_job_is_ignored(tmp_path: Path) -> None:
    processor = Teller(Policy(batch=Batch(4)))
    kit = Kit(processor, tmp_path)
    kit.send(kit.request("a"))
    kit.work()
    processor.contexts["a"].stream_text("too late")
    assert kit.channel.texts == {0: "a"}
