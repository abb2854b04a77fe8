"""A policy says where the CPU work of a job runs, and is refused at once if it says two things."""

from __future__ import annotations

import os

import pytest

from processors.policy import Policy, worker_count


def test_auto_is_a_worker_for_each_core_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 5, 7})
    assert worker_count("auto") == 3
    assert worker_count(4) == 4


def test_threads_and_processes_are_refused_together() -> None:
    with pytest.raises(ValueError, match="not both"):
        Policy(threads=1, processes="auto")


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ValueError, match="processes"):
        Policy(processes=-1)
