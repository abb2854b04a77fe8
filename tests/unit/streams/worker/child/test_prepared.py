"""The cost and the bucket of prepared jobs decide which run together, and how many fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from processors.policy import Batch, Policy
from processors.protocol import Job, JobContext
from schemas.records import EchoInput
from streams.worker.protocol import Flag
from tests.harness.executor_kit import Kit, Upper


class Shaped(Upper):
    """A processor of words: a word's bucket and cost are its length. The device holds `room` letters, and takes one width."""

    def __init__(self, policy: Policy, room: int = 10_000) -> None:
        super().__init__(policy)
        self.room = room

    def bucket(self, item: str) -> Any:
        if item == "unhashable":
            return [item]
        return len(item)

    def run(self, items: Sequence[str]) -> Sequence[str]:
        assert len({len(item) for item in items}) == 1, "a batch of several widths"
        if sum(map(len, items)) > self.room:
            self.batches.append(list(items))
            raise torch.OutOfMemoryError(f"{items} do not fit")
        return super().run(items)


class Priced(Upper):
    def cost(self, item: str) -> float:
        if item == "priceless":
            raise KeyError(item)
        return float("nan") if item == "nan" else float(len(item))


@pytest.fixture(params=[0, 1], ids=["in the device's thread", "with a CPU thread"])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_only_items_of_one_bucket_run_together(tmp_path: Path, threads: int) -> None:
    kit = Kit(Shaped(Policy(batch=Batch(4), threads=threads)), tmp_path)
    said = ["a", "bb", "c", "dd", "e", "ff", "ggg"]
    kit.send(*[kit.request(message) for message in said])
    kit.work()
    assert [kit.code(slot) for slot in range(len(said))] == [None] * len(said)
    assert sorted(kit.processor.ran) == sorted(said)


def test_in_one_thread_batches_are_full_before_the_device_gets_them(tmp_path: Path) -> None:
    kit = Kit(Shaped(Policy(batch=Batch(3))), tmp_path)
    kit.send(*[kit.request(message) for message in ["a", "bb", "c", "dd", "e", "ff"]])
    kit.work()
    assert kit.processor.batches == [["a", "c", "e"], ["bb", "dd", "ff"]]


def test_a_batch_costs_no_more_than_allowed_and_a_job_that_costs_more_runs_alone(tmp_path: Path, threads: int) -> None:
    kit = Kit(Priced(Policy(batch=Batch(8, max_cost=6), threads=threads)), tmp_path)
    kit.send(*[kit.request("x" * length) for length in (3, 3, 3, 9, 1, 1)])
    kit.work()
    assert all(sum(map(len, batch)) <= 6 or len(batch) == 1 for batch in kit.processor.batches)
    assert sorted(map(len, kit.processor.ran)) == [1, 1, 3, 3, 3, 9]


def test_an_error_in_cost_or_bucket_fails_that_job_alone(tmp_path: Path, threads: int) -> None:
    priced = Kit(Priced(Policy(batch=Batch(4), threads=threads)), tmp_path)
    priced.send(*[priced.request(message) for message in ("a", "priceless", "nan", "b")])
    priced.work()
    assert [priced.code(slot) for slot in range(4)] == [None, "PROCESSOR_ERROR", "PROCESSOR_ERROR", None]
    assert "cost() returned nan" in priced.result(2)["result"]["error"]["message"]
    shaped = Kit(Shaped(Policy(batch=Batch(4), threads=threads)), tmp_path)
    shaped.send(shaped.request("unhashable"), shaped.request("a"))
    shaped.work()
    assert [shaped.code(slot) for slot in range(2)] == ["PROCESSOR_ERROR", None]


def test_an_isolated_job_runs_alone_although_jobs_are_prepared_first(tmp_path: Path, threads: int) -> None:
    kit = Kit(Shaped(Policy(batch=Batch(4), threads=threads)), tmp_path)
    kit.send(kit.request("s1"), kit.request("s2"), flags=Flag.ISOLATED)
    kit.send(kit.request("a1"), kit.request("a2"))
    kit.work()
    assert ["s1"] in kit.processor.batches
    assert ["s2"] in kit.processor.batches


def test_live_jobs_are_prepared_and_run_before_a_bulk_backlog(tmp_path: Path) -> None:
    kit = Kit(Shaped(Policy(batch=Batch(2))), tmp_path)
    kit.send(*[kit.request(f"b{n}") for n in range(8)], lane=1)
    kit.send(kit.request("l0"), kit.request("l1"))
    kit.work()
    assert {"l0", "l1"} <= set(kit.processor.ran[:4])


# ── memory ──


def test_a_batch_that_runs_out_of_memory_is_halved_and_the_next_ones_are_smaller(tmp_path: Path) -> None:
    kit = Kit(Shaped(Policy(batch=Batch(8)), room=10), tmp_path)
    kit.send(*[kit.request(f"lar{n}") for n in range(8)])  # four letters each: two fit
    kit.work()
    assert [kit.code(slot) for slot in range(8)] == [None] * 8
    assert [len(batch) for batch in kit.processor.batches] == [8, 4, 2, 2, 2, 2]
    assert kit.channel.batch_limits == [("7/4", 4, None), ("7/4", 2, None)]


def test_a_large_shape_does_not_reduce_the_limit_of_small_ones(tmp_path: Path) -> None:
    kit = Kit(Shaped(Policy(batch=Batch(4)), room=8), tmp_path)
    kit.send(*[kit.request(f"lar{n}") for n in range(4)], *[kit.request(f"s{n}") for n in range(4)])
    kit.send(*[kit.request(f"LAR{n}") for n in range(4)])
    kit.work()
    assert [len(batch) for batch in kit.processor.batches] == [4, 2, 2, 4, 2, 2]


def test_the_reduced_limit_is_a_cost_where_there_is_one(tmp_path: Path) -> None:
    class Narrow(Priced):
        def run(self, items: Sequence[str]) -> Sequence[str]:
            if sum(map(len, items)) > 10:
                raise torch.OutOfMemoryError
            return super().run(items)

    kit = Kit(Narrow(Policy(batch=Batch(4))), tmp_path)
    kit.send(*[kit.request("x" * 5) for _ in range(4)], *[kit.request("y") for _ in range(8)])
    kit.work()
    assert kit.channel.batch_limits == [("7", 4, 10.0)]
    assert [len(batch) for batch in kit.processor.batches] == [2, 2, 4, 4]


def test_one_job_that_does_not_fit_fails_with_out_of_memory_and_is_retried(tmp_path: Path, threads: int) -> None:
    kit = Kit(Shaped(Policy(batch=Batch(4), threads=threads), room=8), tmp_path)
    kit.send(kit.request("far too large"), kit.request("ok"))
    kit.work()
    result = kit.result(0)["result"]
    assert (result["error"]["code"], result["disposition"]) == ("OUT_OF_MEMORY", "retry")
    assert kit.code(1) is None


def test_running_out_of_memory_while_preparing_has_its_own_error_code(tmp_path: Path, threads: int) -> None:
    class Greedy(Upper):
        def prepare(self, job: Job[EchoInput], ctx: JobContext) -> str:
            torch.empty(1 << 50)
            return ""

    kit = Kit(Greedy(Policy(batch=Batch(4), threads=threads)), tmp_path)
    kit.send(kit.request("a"))
    kit.work()
    assert kit.code(0) == "OUT_OF_MEMORY"
