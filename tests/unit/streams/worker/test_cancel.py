"""Jobs are cancelled inside the child: waiting jobs are answered while the device works, running jobs find out."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from processors.policy import Batch, Policy
from processors.protocol import Job, JobContext
from schemas.errors import JobCancelled
from schemas.records import EchoInput
from streams.worker.child.context import CancelledSlots
from streams.worker.protocol import Flag
from tests.harness.executor_kit import Kit, Upper


class Steady(Upper):
    """A device that works on "hold" until `go`; "heed" raises as soon as it is cancelled."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.busy, self.go = threading.Event(), threading.Event()
        self.contexts: dict[str, JobContext] = {}

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> str:
        self.contexts[job.input.message] = ctx
        return super().prepare(job, ctx)

    def run(self, items: Sequence[str]) -> Sequence[str]:
        if items[0] in ("hold", "heed"):
            self.busy.set()
            assert self.go.wait(10)
        if "heed" in items and self.contexts["heed"].cancelled():
            raise JobCancelled("Stopped.")
        return super().run(items)


@pytest.fixture(params=[0, 2], ids=["in the device's thread", "with CPU threads"])
def processor(request: pytest.FixtureRequest) -> Steady:
    return Steady(Policy(batch=Batch(1), threads=request.param))


@pytest.fixture
def kit(processor: Steady, tmp_path: Path) -> Iterator[Kit]:
    made = Kit(processor, tmp_path)
    worker = threading.Thread(target=made.executor.work, args=(made.inbox,))
    worker.start()
    yield made
    processor.go.set()
    made.inbox.put(None)
    worker.join(10)
    assert not worker.is_alive()


def disposition(kit: Kit, slot: int) -> str:
    return str(kit.result(slot)["result"]["disposition"])


def test_jobs_that_wait_are_answered_while_the_device_works(kit: Kit, processor: Steady) -> None:
    kit.send(kit.request("hold"))
    assert processor.busy.wait(10)
    kit.send(kit.request("a"), kit.request("b"), kit.request("c"))
    kit.send(kit.request("alone"), flags=Flag.ISOLATED)
    kit.executor.cancel(kit.inbox, [1, 3, 4])
    assert kit.channel.wait_for(3), "the device is still busy"
    assert [disposition(kit, slot) for slot in (1, 3, 4)] == ["cancelled"] * 3
    assert kit.code(1) == "CANCELLED"
    processor.go.set()
    assert kit.channel.wait_for(5)
    assert [disposition(kit, slot) for slot in (0, 2)] == ["succeeded"] * 2
    assert [item for batch in processor.batches for item in batch] == ["hold", "b"]


def test_a_running_job_finds_out_and_may_stop(kit: Kit, processor: Steady) -> None:
    kit.send(kit.request("heed"))
    assert processor.busy.wait(10)
    assert not processor.contexts["heed"].cancelled()
    kit.executor.cancel(kit.inbox, [0])
    assert processor.contexts["heed"].cancelled()
    processor.go.set()
    assert kit.channel.wait_for(1)
    assert (disposition(kit, 0), kit.code(0)) == ("cancelled", "CANCELLED")


def test_a_job_that_is_cancelled_before_its_last_step_does_not_begin_it(kit: Kit, processor: Steady) -> None:
    kit.send(kit.request("hold"))
    assert processor.busy.wait(10)
    kit.executor.cancel(kit.inbox, [0])
    processor.go.set()
    assert kit.channel.wait_for(1)
    assert disposition(kit, 0) == "cancelled"


def test_a_job_that_was_cancelled_before_it_came_is_not_run(kit: Kit, processor: Steady) -> None:
    kit.executor.cancel(kit.inbox, [0])
    kit.send(kit.request("a"))
    kit.send(kit.request("b"), flags=Flag.REJECTED, error_code=b"CANCELLED")
    assert kit.channel.wait_for(2)
    assert [disposition(kit, slot) for slot in (0, 1)] == ["cancelled"] * 2
    assert processor.batches == []


def test_a_job_that_stops_for_its_soft_limit_was_not_cancelled(kit: Kit, processor: Steady) -> None:
    kit.send(kit.request("heed", soft_limit_ms=0, max_attempts=1))
    processor.go.set()
    assert kit.channel.wait_for(1)
    assert (disposition(kit, 0), kit.code(0)) == ("failed", "TIMEOUT_ERROR")


def test_a_job_whose_deadline_passes_while_it_waits_is_not_begun(kit: Kit, processor: Steady) -> None:
    kit.send(kit.request("hold"))
    assert processor.busy.wait(10)
    soon = datetime.now(UTC) + timedelta(milliseconds=100)
    kit.send(kit.request("a", deadline=soon), kit.request("b"))
    while datetime.now(UTC) < soon:
        assert not kit.channel.wait_for(1, 0.05)
    processor.go.set()
    assert kit.channel.wait_for(3)
    assert [kit.code(slot) for slot in (0, 1, 2)] == [None, "DEADLINE_EXCEEDED", None]
    assert ["a"] not in processor.batches


def test_cancelling_an_answered_job_does_nothing(kit: Kit) -> None:
    kit.send(kit.request("a"))
    assert kit.channel.wait_for(1)
    kit.executor.cancel(kit.inbox, [0, 99])
    kit.send(kit.request("b"))
    assert kit.channel.wait_for(2)
    assert disposition(kit, 0) == "succeeded"


def test_only_the_newest_cancelled_slots_are_remembered() -> None:
    cancelled = CancelledSlots(max_slots=2)
    cancelled.add([0, 1, 2, 3])
    assert [slot in cancelled for slot in range(4)] == [False, False, True, True]
