"""A process that uses more memory than it may is killed, and the job that needs it fails by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from streams.health.memory import machine_memory
from streams.worker.supervision.process import ChildProcess
from streams.worker.supervision.watch import MIB, ChildWatch, memory_limit
from tests.harness.processors.killer import installed
from tests.harness.supervisor_driver import driving

READY: dict[str, Any] = {}


class Child:
    pid, resident = 1, 0


def over(limit: int, *, at_start: int, resident: int, ready: dict[str, Any] | None = READY) -> bool:
    watch, child = ChildWatch("echo", limit * MIB), Child()
    child.resident = resident * MIB
    return watch.over_limit(cast(ChildProcess, child), 1.0, ready, at_start * MIB)


def test_a_child_above_its_limit_is_over_it() -> None:
    assert over(300, at_start=100, resident=301)
    assert not over(300, at_start=100, resident=300)


def test_a_limit_that_loading_alone_exceeds_is_ignored() -> None:
    assert not over(300, at_start=300, resident=900)
    assert not over(300, at_start=100, resident=900, ready=None), "it still loads"


def test_the_default_is_a_share_of_what_there_is(tmp_path: Path) -> None:
    assert memory_limit(64) == 64 * MIB
    assert memory_limit(None) == int(machine_memory() * 0.8)
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("1000\n")
    assert machine_memory(tmp_path) == 1000
    (tmp_path / "memory.max").write_text("900\n")
    assert machine_memory(tmp_path) in (900, 1000), "a machine without cgroups of version 2 does not look there"
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_memory(tmp_path) == 1000


def test_a_job_that_takes_too_much_memory_fails_by_name_and_its_mates_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "Moody", "tests.harness.processors.moody"))
    with driving(tmp_path, child_memory_mib=300) as driver:
        hog, *mates = driver.send("hog 400", *"abc")
        driver.until_answered(hog, *mates)
        assert driver.ending(hog) == ("failed", "OUT_OF_MEMORY", 2)
        assert {driver.ending(job)[:2] for job in mates} == {("succeeded", None)}
        assert {job.crashes for job in mates} == {0}
        assert driver.supervisor.restarts == 2
