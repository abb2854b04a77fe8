"""A worker's readiness, processor by processor."""

from __future__ import annotations

import os
from typing import Any

import pytest

from streams.health.report import STANDBY_S
from streams.worker import health

READY = {
    "version": "3",
    "versions": {"3": 100},
    "device": "cpu",
    "device_reason": "running on the CPU, because CUDA does not work here",
}


def status(*, live: int = 2, bulk: int = 2, joined_s: float | None = 1.0, **changes: Any) -> dict[str, Any]:
    lanes = {"live": {"partitions": live}, "bulk": {"partitions": bulk}}
    made = {"processor": "echo", "child": os.getpid(), "partitions": live + bulk, "lanes": lanes, "in_flight": 7}
    return made | {"ready": READY, "joined_s": joined_s} | changes


@pytest.mark.parametrize(
    ("told", "why_not"),
    [
        (status(), None),
        (status(ready=None), "the process of echo is starting"),
        (status(lanes={}, partitions=0, joined_s=None), "echo has not joined its group"),
        (status(live=0, bulk=0), "echo waits for its share of the partitions"),
        (status(live=0, bulk=0, joined_s=STANDBY_S), None),
        (status(bulk=0), None),
    ],
)
def test_it_is_ready_once_its_child_is_and_it_has_a_share(told: dict[str, Any], why_not: str | None) -> None:
    assert health.missing(told) == why_not


def test_what_is_told_of_it_has_the_childs_own_words_and_its_memory() -> None:
    told = health.told(status())
    assert (told["device"], told["versions"], told["in_flight"]) == ("cpu", {"3": 100}, 7)
    assert told["device_reason"] == READY["device_reason"]
    assert told["child_rss"] > 1_000_000
    assert "ready" not in told
    assert not told["standby"]


def test_a_worker_without_any_partition_is_told_as_a_standby() -> None:
    assert health.told(status(live=0, bulk=0, joined_s=STANDBY_S))["standby"]


def test_the_memory_of_a_process_that_is_gone_is_not_told() -> None:
    assert health.told(status(child=None))["child_rss"] is None
