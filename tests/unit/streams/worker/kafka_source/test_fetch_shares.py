"""How two lanes share the free capacity."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processors.policy import LaneWeights
from streams.worker.in_flight import Capacity
from streams.worker.kafka_source.source import POLL_AT_MOST, FetchShares


def take(shares: FetchShares, capacity: Capacity, waiting: list[int]) -> tuple[int, int]:
    """Poll once with so many live and bulk jobs waiting; return how many were taken of each."""
    asked = shares.live(capacity)
    live = min(asked, waiting[0])
    most = shares.bulk(capacity, asked, live)
    bulk = min(most, waiting[1])
    if most:
        shares.took(most, bulk)
    waiting[0] -= live
    waiting[1] -= bulk
    return live, bulk


@given(st.integers(1, 20), st.integers(1, 5), st.integers(1, 40), st.integers(1, 40))
def test_while_both_have_work_it_is_shared_by_weight(live: int, bulk: int, places: int, bulk_places: int) -> None:
    shares, waiting, taken = FetchShares(LaneWeights(live, bulk)), [10**6, 10**6], [0, 0]
    for _ in range(400):
        for lane, count in enumerate(take(shares, Capacity(places, min(places, bulk_places)), waiting)):
            taken[lane] += count
    rounds = taken[1] / bulk  # as many times as bulk had its share, live had its own
    assert taken[1] > 0
    assert taken[0] >= rounds * live - places - live
    if bulk_places >= places:  # bulk is held back by its weight alone
        assert taken[0] <= (rounds + 1) * live + places + live


@given(st.integers(0, 500), st.integers(0, 500))
def test_a_lane_alone_takes_all(count: int, rounds_before: int) -> None:
    shares = FetchShares(LaneWeights())
    for _ in range(rounds_before):
        take(shares, Capacity(8, 6), [8, 0])
    live, bulk = [count, 0], [0, count]
    while any(take(shares, Capacity(50, 40), live)) or any(take(shares, Capacity(50, 40), bulk)):
        pass
    assert (live, bulk) == ([0, 0], [0, 0])


@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 3000), st.integers(0, 900), st.integers(0, 900))))
def test_no_more_is_taken_than_there_is_capacity_for(rounds: list[tuple[int, int, int, int]]) -> None:
    shares = FetchShares(LaneWeights())
    for total, of_bulk, live_waiting, bulk_waiting in rounds:
        capacity = Capacity(total, min(total, of_bulk))
        live, bulk = take(shares, capacity, [live_waiting, bulk_waiting])
        assert live + bulk <= capacity.total
        assert bulk <= capacity.bulk
        assert live <= POLL_AT_MOST


def test_one_place_at_a_time_is_shared_by_weight_too() -> None:
    shares, waiting = FetchShares(LaneWeights(live=8, bulk=1)), [900, 900]
    taken = [take(shares, Capacity(1, 1), waiting) for _ in range(90)]
    assert taken.count((1, 0)) == 80
    assert taken.count((0, 1)) == 10
