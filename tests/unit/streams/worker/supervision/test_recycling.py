"""When a child has served long enough."""

from __future__ import annotations

from streams.worker.supervision.recycling import MIB, RecyclePolicy


def reason(ready: dict[str, int | None], *, at_start: int, answered: int, resident: int) -> str | None:
    policy = RecyclePolicy()
    policy.start(ready, at_start * MIB)
    return policy.reason(answered, resident * MIB)


def test_without_a_limit_a_child_serves_for_ever() -> None:
    assert reason({}, at_start=1, answered=10**9, resident=10**6) is None
    assert reason({"recycle_jobs": None, "recycle_mib": None}, at_start=1, answered=10**9, resident=10**6) is None


def test_a_child_is_replaced_after_so_many_jobs() -> None:
    assert reason({"recycle_jobs": 10}, at_start=1, answered=9, resident=1) is None
    assert reason({"recycle_jobs": 10}, at_start=1, answered=10, resident=1) == "jobs"


def test_a_child_is_replaced_when_it_has_grown_too_large() -> None:
    assert reason({"recycle_mib": 300}, at_start=200, answered=1, resident=299) is None
    assert reason({"recycle_mib": 300}, at_start=200, answered=1, resident=300) == "memory"
    assert reason({"recycle_mib": 300}, at_start=200, answered=0, resident=300) is None, "it has done nothing yet"


def test_a_limit_that_loading_alone_exceeds_is_no_reason() -> None:
    assert reason({"recycle_mib": 300}, at_start=300, answered=5, resident=900) is None
