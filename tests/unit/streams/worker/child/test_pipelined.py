"""With CPU threads, `prepare`, `run` and `finish` of different jobs go on at the same time, and the device never waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from processors.policy import Batch, Limits, Policy
from processors.protocol import Job, JobContext
from schemas.records import EchoInput, EchoOutput
from streams.worker.protocol import Flag
from tests.harness.executor_kit import Kit, Upper

PATIENCE_S = 10


class Watched(Upper):
    """Each step of each job, "prepare a", is an event, and may be made to wait for another event."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.begun: dict[str, threading.Event] = {}
        self.holds: dict[str, threading.Event] = {}
        self.order: list[str] = []

    def event(self, step: str) -> threading.Event:
        return self.begun.setdefault(step, threading.Event())

    def hold(self, step: str, until: threading.Event) -> None:
        self.holds[step] = until

    def _step(self, step: str) -> None:
        self.order.append(step)
        self.event(step).set()
        if step in self.holds:
            assert self.holds[step].wait(PATIENCE_S), f"{step} waited in vain"

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> str:
        self._step(f"prepare {job.input.message}")
        return super().prepare(job, ctx)

    def run(self, items: Sequence[str]) -> Sequence[str]:
        for item in items:
            self._step(f"run {item}")
        return super().run(items)

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        self._step(f"finish {job.input.message}")
        return super().finish(job, raw, ctx)


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[Callable[[Policy], Kit]]:
    """Start executors that work while the test sends."""
    made: list[tuple[Kit, threading.Thread]] = []

    def start(policy: Policy) -> Kit:
        kit = Kit(Watched(policy), tmp_path)
        thread = threading.Thread(target=kit.executor.work, args=(kit.inbox,))
        thread.start()
        made.append((kit, thread))
        return kit

    yield start
    for kit, thread in made:
        kit.inbox.put(None)
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def watched(kit: Kit) -> Watched:
    assert isinstance(kit.processor, Watched)
    return kit.processor


def test_three_jobs_are_prepared_run_and_finished_at_the_same_time(at_work: Callable[[Policy], Kit]) -> None:
    kit = at_work(Policy(batch=Batch(1), threads=2))
    steps = watched(kit)
    steps.hold("finish a", steps.event("run b"))
    steps.hold("run b", steps.event("prepare c"))
    steps.hold("prepare c", steps.event("finish a"))  # none of the three ends before the others have begun
    kit.send(*[kit.request(message) for message in "abc"])
    assert kit.channel.wait_for(3)
    assert [kit.code(slot) for slot in range(3)] == [None] * 3


def test_a_job_that_comes_while_the_device_works_is_prepared_meanwhile(at_work: Callable[[Policy], Kit]) -> None:
    kit = at_work(Policy(batch=Batch(1), threads=1))
    steps = watched(kit)
    steps.hold("run a", steps.event("prepare b"))
    kit.send(kit.request("a"))
    assert steps.event("run a").wait(PATIENCE_S)
    kit.send(kit.request("b"))
    assert kit.channel.wait_for(2)


def test_what_is_run_is_finished_before_more_is_prepared(at_work: Callable[[Policy], Kit]) -> None:
    kit = at_work(Policy(batch=Batch(2), threads=1))
    steps = watched(kit)
    steps.hold("run a", steps.event("prepare c"))
    steps.hold("prepare c", steps.event("run b"))  # so that it ends after "a" was handed on to be finished
    kit.send(*[kit.request(message) for message in "abcde"])
    assert kit.channel.wait_for(5)
    assert steps.order.index("finish a") < steps.order.index("prepare d")


def test_the_next_batch_is_filled_while_the_device_works(at_work: Callable[[Policy], Kit]) -> None:
    kit = at_work(Policy(batch=Batch(4), threads=2))
    steps, go = watched(kit), threading.Event()
    steps.hold("run a", go)
    kit.send(kit.request("a"))
    assert steps.event("run a").wait(PATIENCE_S)
    kit.send(*[kit.request(message) for message in "bcdef"])
    for message in "bcdef":
        assert steps.event(f"prepare {message}").wait(PATIENCE_S)
    go.set()
    assert kit.channel.wait_for(6)
    assert [len(batch) for batch in steps.batches] == [1, 4, 1]


def test_an_idle_device_does_not_wait_for_more(at_work: Callable[[Policy], Kit]) -> None:
    for threads in (0, 1):
        kit = at_work(Policy(batch=Batch(8, max_wait_ms=3_600_000), threads=threads))
        kit.send(kit.request("a"))
        assert kit.channel.wait_for(1)


def test_a_batch_is_not_taken_small_while_the_rest_of_it_is_being_prepared(at_work: Callable[[Policy], Kit]) -> None:
    kit = at_work(Policy(batch=Batch(2, max_wait_ms=3_600_000), threads=2))
    steps, go = watched(kit), threading.Event()
    steps.hold("prepare b", go)
    kit.send(kit.request("a"), kit.request("b"))
    assert steps.event("prepare b").wait(PATIENCE_S)
    assert not steps.event("run a").wait(0.05)
    go.set()
    assert kit.channel.wait_for(2)
    assert steps.batches == [["a", "b"]]


def test_the_device_waits_for_the_rest_of_a_batch_no_longer_than_the_policy_allows(
    at_work: Callable[[Policy], Kit],
) -> None:
    kit = at_work(Policy(batch=Batch(2, max_wait_ms=20), threads=2))
    steps = watched(kit)
    steps.hold("prepare b", steps.event("run a"))
    kit.send(kit.request("a"), kit.request("b"))
    assert kit.channel.wait_for(2)
    assert steps.batches == [["a"], ["b"]]


def test_a_batch_is_not_kept_for_a_job_that_is_refused(at_work: Callable[[Policy], Kit]) -> None:
    kit = at_work(Policy(batch=Batch(2, max_wait_ms=3_600_000), threads=2))
    kit.send(kit.request("a"), kit.request("bad in prepare"))
    assert kit.channel.wait_for(2)
    assert watched(kit).batches == [["a"]]


def test_no_more_is_prepared_than_the_running_batch_and_the_next(at_work: Callable[[Policy], Kit]) -> None:
    kit = at_work(Policy(batch=Batch(2), threads=1))
    steps, go = watched(kit), threading.Event()
    steps.hold("run 0", go)
    kit.send(*[kit.request(str(n)) for n in range(9)])
    assert steps.event("prepare 4").wait(PATIENCE_S)
    assert len([step for step in steps.order if step.startswith("prepare")]) == 5
    go.set()
    assert kit.channel.wait_for(9)


def test_nothing_is_prepared_while_an_isolated_job_runs(at_work: Callable[[Policy], Kit]) -> None:
    kit = at_work(Policy(batch=Batch(1), threads=2))
    steps, go = watched(kit), threading.Event()
    steps.hold("run s", go)
    kit.send(kit.request("s"), flags=Flag.ISOLATED)
    kit.send(kit.request("a"))
    assert steps.event("run s").wait(PATIENCE_S)
    assert not steps.event("prepare a").wait(0.1)
    go.set()
    assert kit.channel.wait_for(2)


def test_each_run_of_a_bisected_batch_has_the_whole_hard_limit(at_work: Callable[[Policy], Kit]) -> None:
    kit = at_work(Policy(batch=Batch(4), limits=Limits(hard_ms=9000)))
    kit.send(*[kit.request(message) for message in ("a", "b", "bad in run", "c")])
    assert kit.channel.wait_for(4)
    assert [len(batch) for batch in kit.processor.batches] == [4, 2, 2, 1, 1]
    assert kit.channel.begun == [([0, 1, 2, 3], 9000)] * 5


def test_an_error_of_the_engine_itself_ends_the_process(tmp_path: Path) -> None:
    for threads in (0, 1):
        kit = Kit(Watched(Policy(threads=threads)), tmp_path)
        kit.inbox.put(RuntimeError("ours"))
        with pytest.raises(RuntimeError, match="ours"):
            kit.executor.work(kit.inbox)


def test_the_hard_limit_of_a_prepared_job_rests_while_it_waits_for_the_device(tmp_path: Path) -> None:
    kit = Kit(Upper(Policy(batch=Batch(4), threads=1)), tmp_path)
    kit.send(kit.request("a", hard_limit_ms=50))
    kit.work()
    assert kit.channel.begun == [([0], None), ([0], 50), ([0], None), ([0], 50)]
