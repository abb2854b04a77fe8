"""A child with helper processes: jobs are prepared and finished in them, and one that dies loses no job."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from schemas.errors import StartupError
from streams.worker.protocol import Flag
from tests.harness.processors.helped import LARGE
from tests.harness.processors.killer import installed
from tests.harness.supervisor_driver import Driver, driving

HELPED = "tests.harness.processors.helped"
BITS = hashlib.sha256((np.arange(LARGE, dtype=np.float64) / 3)[1:].tobytes()).hexdigest()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("helped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", installed(folder / "site", "Helped", HELPED))
        yield folder


@pytest.fixture(scope="module")
def driver(site: Path) -> Iterator[Driver]:
    """Drive one child for all tests, in their order: the later ones kill it."""
    with driving(site) as made:
        yield made


def helpers_of(driver: Driver) -> list[int]:
    return list(driver.supervisor.about["helpers"])


def test_each_job_is_prepared_and_finished_by_one_helper_and_runs_in_the_child(driver: Driver) -> None:
    jobs = driver.send(*[f"job {n}" for n in range(20)])
    driver.until_answered(*jobs)
    assert {driver.ending(job) for job in jobs} == {("succeeded", None, 1)}
    assert [driver.said(job) for job in jobs] == [f"job {n} True True {BITS}" for n in range(20)]
    result = driver.result(jobs[0])
    assert result["model_sha256"] == "f" * 64
    assert len(result["output_refs"]) == 1
    assert result["timings"]["prepare_ms"] > 0
    assert driver.supervisor.resident > sum(psutil.Process(pid).memory_info().rss for pid in helpers_of(driver)) / 2


def test_errors_of_each_step_fail_their_job_alone(driver: Driver) -> None:
    invalid, not_sent, bad, good = driver.send("invalid", "not sent", "bad in run", "good")
    driver.until_answered(invalid, not_sent, bad, good)
    assert driver.ending(invalid)[:2] == ("failed", "INVALID_INPUT")
    assert driver.ending(not_sent)[:2] == ("failed", "PROCESSOR_ERROR")
    assert "pickled" in driver.result(not_sent)["error"]["message"]
    assert driver.ending(bad)[:2] == ("failed", "PROCESSOR_ERROR")
    assert driver.result(bad)["error"]["type"] == "ValueError"
    assert driver.ending(good) == ("succeeded", None, 1)


def test_a_cancel_reaches_a_job_in_a_helper_and_its_progress_the_parent(driver: Driver) -> None:
    stops, other = driver.send("stops", "a")
    driver.until(lambda: any(update.message == "for a cancel" for update in driver.updates))
    driver.supervisor.cancel([stops.slot])
    driver.until_answered(stops, other)
    assert driver.ending(stops) == ("cancelled", "CANCELLED", 1)
    assert driver.ending(other) == ("succeeded", None, 1)


def test_a_cancel_reaches_a_job_on_the_device_by_the_context_in_its_item(driver: Driver) -> None:
    (stops,) = driver.send("stops in run")
    driver.until(lambda: any(update.slot == stops.slot for update in driver.updates))
    driver.supervisor.cancel([stops.slot])
    driver.until_answered(stops)
    assert driver.ending(stops) == ("cancelled", "CANCELLED", 1)
    assert driver.supervisor.restarts == 0


def test_text_that_run_streams_is_reported(driver: Driver) -> None:
    (job,) = driver.send("word")
    driver.until_answered(job)
    driver.until(lambda: any(report.slot == job.slot for report in driver.collected.reports))
    assert [report.text for report in driver.collected.reports if report.slot == job.slot] == ["word"]


def test_jobs_that_kill_their_helpers_are_isolated_and_then_fail(driver: Driver) -> None:
    before = driver.send(*["a"] * 6)
    killers = driver.send("kill the helper", "kill in finish")
    after = driver.send(*["b"] * 6)
    driver.until_answered(*before, *killers, *after)
    assert [driver.ending(job)[:2] for job in killers] == [("failed", "WORKER_LOST")] * 2
    assert {driver.ending(job)[:2] for job in (*before, *after)} == {("succeeded", None)}
    assert all(job.flags & Flag.ISOLATED for job in killers)


def test_a_helper_that_dies_with_nothing_to_do_is_replaced_with_its_child(driver: Driver) -> None:
    first = helpers_of(driver)
    os.kill(first[0], signal.SIGKILL)
    driver.until(lambda: driver.supervisor.ready is not None and helpers_of(driver) != first)
    jobs = driver.send("a", "b")
    driver.until_answered(*jobs)
    assert [job.crashes for job in jobs] == [0, 0]


def test_a_job_over_its_hard_limit_in_a_helper_is_killed_with_it(driver: Driver) -> None:
    (endless,) = driver.send("endless", hard_limit_ms=300)
    before = helpers_of(driver)
    (other,) = driver.send("a")
    driver.until_answered(endless, other)
    assert driver.ending(endless)[:2] == ("retry", "TIMEOUT_ERROR")
    assert driver.ending(other)[:2] == ("succeeded", None)
    assert not any(psutil.pid_exists(pid) for pid in before)


def test_the_helpers_end_with_their_child(site: Path) -> None:
    with driving(site) as driver:
        pids = helpers_of(driver)
        assert all(psutil.pid_exists(pid) for pid in pids)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_processor_that_can_not_load_in_a_helper_stops_the_start(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_TEST_HELPER", "broken")
    with pytest.raises(StartupError, match=r"In a helper process: .*libcodec"), driving(site):
        pass
