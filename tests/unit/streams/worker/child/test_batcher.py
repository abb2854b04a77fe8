"""The batcher and the fair queue decide which jobs run together, and which first."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.policy import Batch, LaneWeights
from schemas.states import Lane
from streams.worker.child.batcher import Batcher
from streams.worker.child.fair_queue import FairQueue

LIVE, BULK = range(len(Lane))


def batcher(count: int, *, max_size: int = 4, max_wait_ms: float = 100, at: float = 0.0) -> Batcher[int]:
    made: Batcher[int] = Batcher(Batch(max_size, max_wait_ms))
    for item in range(count):
        made.add(item, at)
    return made


def test_an_idle_device_gets_at_once_what_is_there() -> None:
    assert batcher(2).take(0.0, idle=True) == [0, 1]


def test_a_busy_device_waits_for_a_full_batch() -> None:
    assert batcher(3).take(0.0, idle=False) == []
    assert batcher(4).take(0.0, idle=False) == [0, 1, 2, 3]


def test_a_busy_device_waits_no_longer_than_the_policy_says() -> None:
    made = batcher(1, at=10.0)
    assert made.due_at() == 10.1
    assert made.take(10.09, idle=False) == []
    assert made.take(10.1, idle=False) == [0]
    assert made.due_at() is None


def test_nothing_waiting_makes_no_batch() -> None:
    assert batcher(0).take(99.0, idle=True) == []


def test_after_running_out_of_memory_batches_stay_small() -> None:
    made = batcher(4)
    made.reduce_limit(2)
    made.reduce_limit(3)
    assert made.take(0.0, idle=True) == [0, 1]
    made.reduce_limit(0)
    assert made.max_size() == 1
    assert made.take(0.0, idle=True) == [2]


def test_unwanted_items_are_removed() -> None:
    made = batcher(4)
    assert made.remove(lambda item: item % 2 == 0) == [0, 2]
    assert made.take(0.0, idle=True) == [1, 3]
    assert len(made) == 0


# ── cost ──


def costly(*costs: float, max_cost: float | None = 10.0, max_size: int = 4) -> Batcher[float]:
    made: Batcher[float] = Batcher(Batch(max_size, 100, max_cost))
    for cost in costs:
        made.add(cost, 0.0, cost=cost)
    return made


def test_a_batch_costs_no_more_than_the_policy_allows() -> None:
    made = costly(4, 4, 4, 1)
    assert made.take(0.0, idle=True) == [4, 4]
    assert made.take(0.0, idle=True) == [4, 1]


def test_an_item_that_costs_more_than_any_batch_runs_alone() -> None:
    made = costly(2, 25, 0)
    assert [made.take(0.0, idle=True) for _ in range(3)] == [[2], [25], [0]]


def test_a_batch_that_costs_enough_need_not_wait_for_more() -> None:
    assert costly(6).take(0.0, idle=False) == []
    assert costly(6, 5).take(0.0, idle=False) == [6]


def test_the_limit_after_running_out_of_memory_is_a_cost_where_there_is_one() -> None:
    made = costly(8, 1, 1, 1, 1, 1, max_cost=None, max_size=9)
    made.reduce_limit(1, cost=5.0)
    assert (made.max_size(), made.max_cost()) == (9, 5.0)
    assert [made.take(0.0, idle=True) for _ in range(2)] == [[8], [1, 1, 1, 1, 1]]


# ── buckets ──


def test_only_items_of_one_bucket_run_together_and_the_oldest_decides_which() -> None:
    made: Batcher[str] = Batcher(Batch(4))
    for item, bucket in [("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b"), ("a3", "a")]:
        made.add(item, 0.0, key=bucket)
    assert [made.take(0.0, idle=True) for _ in range(2)] == [["a1", "a2", "a3"], ["b1", "b2"]]


def test_a_full_bucket_goes_first_until_the_older_one_has_waited_long_enough() -> None:
    made: Batcher[str] = Batcher(Batch(2, max_wait_ms=100))
    made.add("old", 0.0, key="a")
    for n in range(4):
        made.add(f"b{n}", 0.01, key="b")
    assert made.take(0.05, idle=True) == ["b0", "b1"]
    assert made.take(0.1, idle=True) == ["old"]


def test_a_large_shape_that_did_not_fit_does_not_limit_the_small_ones() -> None:
    made: Batcher[str] = Batcher(Batch(4))
    made.reduce_limit(1, key="large")
    for n in range(2):
        made.add(f"l{n}", 0.0, key="large")
        made.add(f"s{n}", 0.0, key="small")
    assert [made.take(0.0, idle=True) for _ in range(3)] == [["l0"], ["s0", "s1"], ["l1"]]
    assert (made.max_size("large"), made.max_size("small")) == (1, 4)


def test_each_bucket_may_have_its_own_policy() -> None:
    policies: dict[Hashable, Batch] = {"v1": Batch(1), "v2": Batch(3)}
    made: Batcher[int] = Batcher(Batch(), policy_of=policies.__getitem__)
    for n in range(6):
        made.add(n, 0.0, key="v1" if n < 3 else "v2")
    assert [made.take(0.0, idle=True) for _ in range(4)] == [[0], [1], [2], [3, 4, 5]]


# ── lanes ──


def test_live_goes_before_bulk_by_weight_and_a_lane_alone_takes_all() -> None:
    queue: FairQueue[str] = FairQueue(LaneWeights(live=3, bulk=1))
    for n in range(6):
        queue.add(f"b{n}", BULK)
    for n in range(6):
        queue.add(f"l{n}", LIVE)
    order = [queue.pop() for _ in range(len(queue))]
    assert order == ["l0", "b0", "l1", "l2", "l3", "b1", "l4", "l5", "b2", "b3", "b4", "b5"]


def test_a_live_job_overtakes_a_bulk_backlog() -> None:
    made: Batcher[str] = Batcher(Batch(2))
    for n in range(100):
        made.add(f"b{n}", 0.0, BULK)
    assert made.take(0.0, idle=True) == ["b0", "b1"]
    made.add("live", 1.0, LIVE)
    assert made.take(1.0, idle=True)[0] == "live"


def test_an_empty_lane_saves_nothing_up() -> None:
    queue: FairQueue[int] = FairQueue(LaneWeights(live=1, bulk=1))
    for _ in range(50):
        queue.add(LIVE, LIVE)
    for _ in range(40):
        queue.pop()
    for _ in range(10):
        queue.add(BULK, BULK)
    assert sorted(queue.pop() for _ in range(4)) == [LIVE, LIVE, BULK, BULK]


def test_removing_items_keeps_the_order_of_the_others() -> None:
    queue: FairQueue[int] = FairQueue(LaneWeights())
    for n in range(6):
        queue.add(n, n % 2)
    assert queue.remove(lambda n: n in (1, 4)) == [4, 1]
    assert sorted(queue.pop() for _ in range(len(queue))) == [0, 2, 3, 5]


@pytest.mark.parametrize("weights", [(0, 1), (1, 0), (-1, 1)])
def test_a_lane_without_weight_is_refused(weights: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LaneWeights(*weights)


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan")])
def test_a_cost_limit_that_no_batch_could_meet_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="max_cost"):
        Batch(max_cost=wrong)


# ── anything at all ──


class Item(NamedTuple):
    number: int
    lane: int
    bucket: str
    cost: float


policies = st.builds(
    Batch, st.integers(1, 5), st.sampled_from([0.0, 30.0, 5000.0]), st.sampled_from([None, 1.0, 3.0, 10.0])
)
lanes = st.builds(LaneWeights, st.integers(1, 9), st.integers(1, 3))
arrivals = st.tuples(st.sampled_from([LIVE, BULK]), st.sampled_from("abc"), st.sampled_from([0.0, 0.5, 1.0, 4.0]))
steps = st.lists(st.one_of(arrivals, st.just("take, idle"), st.just("take, busy"), st.just("lower"), st.just("drop")))


@given(policies, lanes, steps)
def test_whatever_happens_nothing_is_lost_and_every_batch_is_as_the_policy_says(
    policy: Batch, weights: LaneWeights, steps: list[tuple[int, str, float] | str]
) -> None:
    made: Batcher[Item] = Batcher(policy, weights)
    waiting: list[Item] = []
    ceilings = dict.fromkeys("abc", policy.max_size)

    def check(batch: list[Item]) -> None:
        assert len({item.bucket for item in batch}) <= 1
        for lane in (LIVE, BULK):  # the oldest of its lane and bucket, in order
            mine = [item for item in batch if item.lane == lane]
            same = [item for item in waiting if item.lane == lane and batch and item.bucket == batch[0].bucket]
            assert mine == same[: len(mine)]
        if batch:
            assert len(batch) <= ceilings[batch[0].bucket]
            cost = sum(item.cost for item in batch)
            assert policy.max_cost is None or cost <= policy.max_cost or len(batch) == 1
        for item in batch:
            waiting.remove(item)

    for now, step in enumerate(steps):
        if isinstance(step, tuple):
            waiting.append(Item(now, *step))
            made.add(waiting[-1], now / 100, *step)
        elif step == "lower":
            made.reduce_limit(2, "a")
            ceilings["a"] = min(2, ceilings["a"])
        elif step == "drop":
            gone = made.remove(lambda item: item.number % 5 == 0)
            assert sorted(gone) == [item for item in waiting if item.number % 5 == 0]
            waiting = [item for item in waiting if item.number % 5]
        else:
            idle = step == "take, idle"
            batch = made.take(now / 100, idle=idle)
            assert batch or not waiting or not idle, "an idle device was left without what was there"
            check(batch)
        assert len(made) == len(waiting)
    while batch := made.take(1e9, idle=False):
        check(batch)
    assert waiting == [], "left behind though its time had come"


@given(lanes, st.integers(1, 5), st.integers(20, 60))
def test_each_lane_gets_its_share_while_both_wait(weights: LaneWeights, max_size: int, taken: int) -> None:
    made: Batcher[int] = Batcher(Batch(max_size), weights)
    for _ in range(500):
        made.add(BULK, 0.0, BULK)
        made.add(LIVE, 0.0, LIVE)
    order: list[int] = []
    while len(order) < taken:
        order += made.take(0.0, idle=True)
    live, bulk = order.count(LIVE), order.count(BULK)
    assert abs(live / weights.live - bulk / weights.bulk) <= 1 / weights.live + 1 / weights.bulk


@given(st.integers(1, 4), st.lists(st.sampled_from("abc"), min_size=1, max_size=40))
def test_no_bucket_starves_however_fast_the_others_fill(max_size: int, crowd: list[str]) -> None:
    """A lone item is taken after no more batches than older items, though each batch taken is refilled at once."""
    made: Batcher[str] = Batcher(Batch(max_size))
    for bucket in crowd:
        made.add(bucket, 0.0, key=bucket)
    made.add("lone", 0.0, key="lone")
    for _ in range(len(crowd) + 1):
        batch = made.take(0.0, idle=True)
        if batch == ["lone"]:
            return
        for bucket in batch:
            made.add(bucket, 0.0, key=bucket)
    raise AssertionError("it was never its turn")
