"""A worker's readiness, processor by processor."""

from __future__ import annotations

import os
from typing import Any

import pytest

from streams.health.report import STANDBY_S
from streams.worker.worker import health_details, why_not_ready

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
    ("engine", "reason"),
    [
        (status(), None),
        (status(ready=None), "the process of echo is starting"),
        (status(lanes={}, partitions=0, joined_s=None), "echo has not joined its group"),
        (status(live=0, bulk=0), "echo waits for its share of the partitions"),
        (status(live=0, bulk=0, joined_s=STANDBY_S), None),
        (status(bulk=0), None),
    ],
)
def test_an_engine_is_ready_once_its_child_is_and_it_has_partitions(engine: dict[str, Any], reason: str | None) -> None:
    assert why_not_ready(engine) == reason


def test_the_details_have_the_childs_facts() -> None:
    details = health_details(status())
    assert (details["device"], details["versions"], details["in_flight"]) == ("cpu", {"3": 100}, 7)
    assert details["device_reason"] == READY["device_reason"]
    assert "ready" not in details
    assert not details["standby"]


def test_a_worker_without_any_partition_is_a_standby() -> None:
    assert health_details(status(live=0, bulk=0, joined_s=STANDBY_S))["standby"]
