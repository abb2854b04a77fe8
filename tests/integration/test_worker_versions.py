"""Two versions of a processor, and two processors, in one worker on a real log."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from processors.rollout import percentile_of
from schemas.errors import ExitCode
from schemas.records import EchoInput
from streams.admin import topics
from streams.client.submitter import Submitter
from streams.settings import Settings
from tests.harness.processors.killer import KILLER, installed
from tests.harness.services import Service, running
from tests.harness.worker_log import WorkerLog, executions, header, outcome, submit

pytestmark = pytest.mark.stack

SEVERAL = "tests.harness.processors.several"


@pytest.fixture
def log(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerLog]:
    """Versions 1 and 2 of `killer` are installed."""
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "First", SEVERAL, next="Second"))
    topics.apply(settings, [KILLER])
    made = WorkerLog(settings, KILLER)
    yield made
    made.close()


def ask(log: WorkerLog, **changed: object) -> str:
    job = header(processor="killer", **changed)
    log.raw(log.request(job, EchoInput("work")))
    return job.job_id


def versions(log: WorkerLog, jobs: set[str]) -> dict[str, str]:
    log.read_results_of(jobs)
    return {job: log.results[job][-1]["result"]["model_version"] for job in jobs}


def test_a_canary_gets_its_share_a_pinned_job_its_version_and_one_setting_rolls_back(
    log: WorkerLog, settings: Settings
) -> None:
    canary = settings.model_copy(update={"rollout": "killer=1,2:50"})
    with running(canary, ["worker", "killer"]) as (service,):
        jobs = {ask(log) for _ in range(30)}
        pinned, unknown = ask(log, model_version="2"), ask(log, model_version="9")
        assert versions(log, jobs) == {job: "2" if percentile_of(job) < 50 else "1" for job in jobs}
        assert versions(log, {pinned}) == {pinned: "2"}
        log.read_results_of({unknown})
        assert outcome(log, unknown) == ("failed", "MODEL_NOT_FOUND")
        assert service.stop() == ExitCode.OK
    with running(settings.model_copy(update={"rollout": "killer=1"}), ["worker", "killer"]):
        jobs = {ask(log) for _ in range(30)}
        assert set(versions(log, jobs).values()) == {"1"}


def test_a_rollout_of_a_processor_that_is_unknown_stops_the_worker_with_the_nearest_name(settings: Settings) -> None:
    service = Service(settings.model_copy(update={"rollout": "ehco=2"}), ["worker", "echo"])
    assert service.ended() == ExitCode.USAGE
    assert "Did you mean 'echo'" in service.log.read_text()


def test_two_processors_share_a_worker_and_its_device_and_the_death_of_one_child_is_nothing_to_the_other(
    log: WorkerLog, settings: Settings
) -> None:
    echo = WorkerLog(settings)
    small = settings.model_copy(update={"max_batch": 4})  # so that echo is at work all the time
    with running(small, ["worker", "killer", "echo", "--device", "cpu"]), Submitter(settings) as submitter:
        steady = submit(submitter, 100, delay_ms=50)
        others = {ask(log) for _ in range(20)}
        log.read_results_of(others)
        pid = int(log.results[next(iter(others))][0]["output"]["length"])  # the child says who it is
        os.kill(pid, signal.SIGKILL)
        others |= {ask(log) for _ in range(20)}
        log.read_results_of(others)
        echo.read_results_of(steady)
    assert {outcome(log, job) for job in others} == {outcome(echo, job) for job in steady} == {("succeeded", None)}
    assert {number for job in steady for number in executions(echo, job)} == {1}, "none of them had to run again"
    results = [plain["result"] for one in (log, echo) for (plain, *_) in one.results.values()]
    assert {result["device"] for result in results} == {"cpu"}
    assert len({result["worker_id"] for result in results}) == 1
    echo.close()
