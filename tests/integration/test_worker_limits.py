"""Limits on a real log: killed, replaced and blamed processes, and jobs of which none is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas import headers
from schemas.errors import ExitCode
from schemas.headers import request_headers
from schemas.records import EchoInput, JobHeader
from streams.admin import topics
from streams.client.commands import CommandClient
from streams.settings import Settings
from tests.harness.processors.killer import KILLER, installed
from tests.harness.services import Service, running
from tests.harness.waiting import wait_until
from tests.harness.worker_log import WorkerLog, executions, outcome
from tests.harness.worker_log import header as echo_header

pytestmark = pytest.mark.stack

MOODY = "tests.harness.processors.moody"


def header(**changed: object) -> JobHeader:
    return echo_header(processor="killer", **changed)


def ask(log: WorkerLog, words: str, **changed: object) -> str:
    """A request for it, with the headers that our producers give; its job's id."""
    job = header(**changed)
    given = {name: value.decode() for name, value in request_headers(job, source="test")}
    log.raw(log.request(job, EchoInput(words)), given)
    return job.job_id


@pytest.fixture
def log(settings: Settings) -> Iterator[WorkerLog]:
    topics.apply(settings, [KILLER])
    made = WorkerLog(settings, KILLER)
    yield made
    made.close()


def test_each_job_that_can_not_go_on_ends_by_its_own_fault_and_the_others_complete(
    log: WorkerLog, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "Moody", MOODY))
    good = [ask(log, f"good {n}") for n in range(3)]
    late = ask(log, "stubborn", hard_limit_ms=300, max_attempts=1)
    killer = ask(log, "kill")
    good += [ask(log, f"good {n}") for n in range(3, 12)]
    with running(settings, ["worker", "killer"]):
        log.read_results_of({*good, killer, late})
        overtaken = ask(log, "stubborn", deadline=datetime.now(UTC) + timedelta(milliseconds=500))
        log.read_results_of({overtaken})
    assert {outcome(log, job) for job in good} == {("succeeded", None)}
    assert outcome(log, late) == ("failed", "TIMEOUT_ERROR")
    assert outcome(log, overtaken) == ("failed", "DEADLINE_EXCEEDED")
    assert outcome(log, killer) == ("failed", "WORKER_LOST")
    assert executions(log, killer) in ([3], [4]), "three crashes, and perhaps one start beside the late one"
    log.read_until(lambda: bool(log.dead))
    ((_, dead_headers),) = log.dead
    assert (dead_headers[headers.JOB], dead_headers[headers.DL_REASON]) == (killer.encode(), b"WORKER_LOST")


@pytest.mark.parametrize("processor", ["Brief", "Leaky"])
def test_a_worker_whose_child_is_replaced_again_and_again_loses_nothing(
    processor: str, log: WorkerLog, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", processor, MOODY))
    with running(settings, ["worker", "killer"]) as (service,):
        jobs = {ask(log, words) for _ in range(2) for words in ["who"] * 20 + ["leak 300"]}
        log.read_results_of(jobs)

        def ask_another() -> None:
            jobs.add(ask(log, "who"))
            log.read_results_of(jobs)

        wait_until(  # memory is checked once a second
            lambda: '"event": "child_recycled"' in service.log.read_text(),
            lambda: "the child was never replaced",
            step=ask_another,
        )
        jobs |= {ask(log, "who") for _ in range(20)}
        log.read_results_of(jobs)
        assert service.stop() == ExitCode.OK
    assert {outcome(log, job) for job in jobs} == {("succeeded", None)}
    assert {number for job in jobs for number in executions(log, job)} == {1}
    answering = {plain["output"]["message"] for (plain,) in log.results.values()} - {"leak 300"}
    assert len(answering) > 1, "one process answered all"
    assert '"event": "child_died"' not in service.log.read_text()


def test_a_worker_names_the_processor_that_can_not_start_and_those_that_could(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "Leaving", MOODY))
    topics.apply(settings, [KILLER])
    service = Service(settings, ["worker", "killer", "echo"])
    assert service.ended() == ExitCode.INTERNAL
    said = service.log.read_text()
    for words in ("'killer'", "SystemExit: 7", "Traceback", "exit status 1", "other processors 'echo' could start"):
        assert words in said, words


def test_cancelled_jobs_end_at_once_where_they_wait_and_soon_where_they_run(
    log: WorkerLog, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "Moody", MOODY))
    with running(settings, ["worker", "killer"]), CommandClient(settings, by="nurse@ward") as controls:
        obedient = ask(log, "obedient")
        log.read_until(lambda: bool(log.progress))
        waiting, good = ask(log, "waits"), [ask(log, f"good {n}") for n in range(3)]
        controls.cancel(waiting)
        log.read_results_of({waiting})
        assert obedient not in log.results, "it still has the device"
        controls.cancel(obedient)
        log.read_results_of({obedient, *good})

        log.progress.clear()
        stubborn = ask(log, "stubborn")
        log.read_until(lambda: bool(log.progress))
        controls.cancel(stubborn)
        good.append(ask(log, "good again"))
        log.read_results_of({stubborn, *good})
    assert {outcome(log, job) for job in (waiting, obedient, stubborn)} == {("cancelled", "CANCELLED")}
    assert {outcome(log, job) for job in good} == {("succeeded", None)}
