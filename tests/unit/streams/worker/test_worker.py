"""The details that a worker's health shows of an engine."""

from __future__ import annotations

import os
from typing import Any

from streams.health.report import STANDBY_S
from streams.worker.worker import health_details

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


def test_the_details_have_the_childs_facts() -> None:
    details = health_details(status(), ready=True)
    assert (details["device"], details["versions"], details["in_flight"]) == ("cpu", {"3": 100}, 7)
    assert details["device_reason"] == READY["device_reason"]
    assert "ready" not in details
    assert not details["standby"]


def test_a_worker_without_any_partition_is_a_standby() -> None:
    assert health_details(status(live=0, bulk=0, joined_s=STANDBY_S), ready=True)["standby"]
    assert not health_details(status(live=0, bulk=0), ready=False)["standby"]
