"""A job's checkpoint is found by its next execution."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.objects import ObjectStore
from processors.policy import Batch, Policy
from processors.protocol import Job, JobContext
from schemas.errors import PayloadTooLarge, StoreUnavailable
from schemas.ids import new_id
from schemas.records import EchoInput
from streams.worker.child.context import LARGEST_CHECKPOINT, WorkerCheckpoint
from tests.harness.executor_kit import Kit, Upper


class Counting(Upper):
    """Each start continues from the last; the third one succeeds."""

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> str:
        begun = int(ctx.checkpoint.get() or b"0") + 1
        ctx.checkpoint.put(str(begun).encode())
        return "bad in run" if begun < 3 else str(begun)


def test_a_job_goes_on_from_its_checkpoint_until_it_has_succeeded(tmp_path: Path) -> None:
    kit = Kit(Counting(Policy(batch=Batch(1))), tmp_path)
    job, other = new_id(), new_id()
    kit.send(*[kit.request("a", job_id=job) for _ in range(4)], kit.request("a", job_id=other))
    kit.work()
    assert [kit.code(slot) for slot in range(5)] == ["PROCESSOR_ERROR"] * 2 + [None] + ["PROCESSOR_ERROR"] * 2
    assert kit.result(2)["output"]["message"] == "3"


def test_each_run_has_a_checkpoint_of_its_own() -> None:
    store, job = ObjectStore("memory://"), new_id()
    WorkerCheckpoint(store, job, 0).put(b"first")
    assert WorkerCheckpoint(store, job, 1).get() is None
    assert WorkerCheckpoint(store, job, 0).get() == b"first"


def test_a_checkpoint_is_small() -> None:
    with pytest.raises(PayloadTooLarge, match=r"ctx\.save"):
        WorkerCheckpoint(ObjectStore("memory://"), new_id(), 0).put(bytes(LARGEST_CHECKPOINT + 1))


class Away(ObjectStore):
    def delete_named(self, name: str) -> None:
        raise StoreUnavailable("The object store does not answer.")


def test_a_checkpoint_that_can_not_be_deleted_fails_no_job_and_shows_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    WorkerCheckpoint(Away("memory://"), new_id(), 0).delete()
    assert "checkpoint_not_deleted" in capsys.readouterr().err
