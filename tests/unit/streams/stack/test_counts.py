"""How many sinks and light workers `sluice up` starts."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as some

from streams.stack.counts import fewest, useful_light_workers, useful_sinks


@pytest.mark.parametrize(
    ("cores", "sinks", "workers"), [(1, 1, 1), (2, 1, 1), (3, 1, 1), (4, 2, 1), (12, 4, 2), (16, 6, 2), (64, 12, 6)]
)
def test_a_sink_for_three_cores_and_a_light_worker_for_eleven(cores: int, sinks: int, workers: int) -> None:
    assert useful_sinks(cores, partitions=12) == sinks
    assert useful_light_workers(cores, partitions=12) == workers


def test_there_are_never_more_sinks_than_partitions() -> None:
    assert useful_sinks(64, partitions=4) == 4


@given(members=some.integers(1, 300), partitions=some.integers(1, 300))
def test_no_fewer_members_have_as_small_a_largest_share(members: int, partitions: int) -> None:
    enough = fewest(members, partitions)
    assert 1 <= enough <= members
    assert ceil(partitions / enough) == ceil(partitions / members)
    assert enough == 1 or ceil(partitions / (enough - 1)) > ceil(partitions / members)
