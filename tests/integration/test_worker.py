"""The worker on a real log: what it publishes, what survives a crash, and how it fails."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas import headers
from schemas.errors import ExitCode
from schemas.ids import new_id
from schemas.records import EchoInput
from streams.admin import topics
from streams.client.submitter import Submitter
from streams.settings import Settings
from tests.harness.processors.killer import KILLER, installed
from tests.harness.services import Service, running
from tests.harness.waiting import wait_until
from tests.harness.worker_log import BATCH, PATIENCE_S, WorkerLog, executions, header, outcome, submit, worker_ids

pytestmark = pytest.mark.stack


@pytest.fixture
def log(settings: Settings) -> Iterator[WorkerLog]:
    made = WorkerLog(settings)
    yield made
    made.close()


@pytest.fixture
def submitter(settings: Settings) -> Iterator[Submitter]:
    with Submitter(settings) as made:
        yield made


@pytest.fixture
def worker(settings: Settings) -> Iterator[Service]:
    with running(settings.model_copy(update={"max_batch": BATCH}), ["worker", "echo"]) as (service,):
        yield service


def test_every_job_gets_its_result_and_says_where_it_comes_from(
    log: WorkerLog, submitter: Submitter, worker: Service, settings: Settings
) -> None:
    sent = submitter.submit("echo", EchoInput("hello"))
    log.read_results_of({sent.job_id})
    (plain,) = log.results[sent.job_id]
    assert plain["output"] == {"message": "hello", "length": 5}
    coordinates = plain["result"]["request_coordinates"]
    assert (coordinates["topic"], coordinates["partition"], coordinates["offset"]) == (
        sent.topic,
        sent.partition,
        sent.offset,
    )
    assert coordinates["topic_id"]
    timings = plain["result"]["timings"]
    assert timings["received_at"] <= timings["started_at"] <= timings["finished_at"]
    assert plain["result"]["input_sha256"] == plain["header"]["input_sha256"] != ""
    given = log.result_headers[sent.job_id]
    assert given[headers.JOB] == sent.job_id.encode()
    assert given[headers.DISPOSITION] == b"succeeded"


def test_the_bad_among_two_hundred_end_clearly_and_the_good_go_through(
    log: WorkerLog, submitter: Submitter, worker: Service
) -> None:
    named, contradicted, misspelt = header(), header(), header(processor="ehco")
    late = header(deadline=datetime.now(UTC) - timedelta(seconds=1))
    bare = header()
    good = submit(submitter, 100)
    log.raw(b"not avro at all")
    garbage = log.request(named, EchoInput("x"))[:5] + b"garbage"  # after the id of a known schema
    log.raw(garbage, {headers.JOB: named.job_id, headers.ATTEMPT: "2"})
    log.raw(struct.pack(">bI", 0, 2_000_000_000) + b"x")
    log.raw(log.request(contradicted, EchoInput("x")), {headers.JOB: new_id()})
    log.raw(log.request(misspelt, EchoInput("x")))
    log.raw(log.request(late, EchoInput("x")))
    log.raw(log.request(bare, EchoInput("no headers")))
    (invalid,) = submit(submitter, 1, delay_ms=-1)
    (again,) = submit(submitter, 1, fail="CONNECTION_ERROR")
    (bug,) = submit(submitter, 1, fail="NO_SUCH_CODE")
    good |= submit(submitter, 100)

    odd = {h.job_id for h in (named, contradicted, misspelt, late, bare)}
    log.read_results_of(good | odd | {invalid, again, bug})
    log.read_until(lambda: len(log.dead) == 4)

    assert {outcome(log, job) for job in good} == {("succeeded", None)}
    assert outcome(log, bare.job_id) == ("succeeded", None)
    assert outcome(log, named.job_id) == ("failed", "UNDECODABLE")
    assert log.results[named.job_id][0]["header"]["attempt"] == 2
    assert outcome(log, contradicted.job_id) == ("failed", "HEADER_MISMATCH")
    assert outcome(log, misspelt.job_id) == ("failed", "UNKNOWN_PROCESSOR")
    assert "'echo'" in log.results[misspelt.job_id][0]["result"]["error"]["message"]
    assert outcome(log, late.job_id) == ("failed", "DEADLINE_EXCEEDED")
    assert outcome(log, invalid) == ("failed", "INVALID_INPUT")
    assert outcome(log, again) == ("retry", "CONNECTION_ERROR")
    assert log.results[again][0]["result"]["retry_in_ms"] >= 0
    assert outcome(log, bug) == ("failed", "PROCESSOR_ERROR")
    reasons = {value: fields[headers.DL_REASON] for value, fields in log.dead}
    assert reasons[b"not avro at all"] == b"UNDECODABLE"
    assert reasons[garbage] == b"UNDECODABLE"
    assert reasons[struct.pack(">bI", 0, 2_000_000_000) + b"x"] == b"UNKNOWN_SCHEMA"
    assert reasons[log.request(contradicted, EchoInput("x"))] == b"HEADER_MISMATCH"


def test_a_killed_child_loses_nothing_and_only_what_it_was_at_runs_again(
    log: WorkerLog, submitter: Submitter, worker: Service
) -> None:
    jobs = submit(submitter, 200, delay_ms=400)  # most of the time a batch runs
    log.read_until(lambda: len(log.results) >= 20)
    (child,) = worker.children()
    time.sleep(0.2)  # results come at a batch's end: in the middle of the next one it runs, however late it began
    os.kill(child, signal.SIGKILL)
    assert len(log.results) <= 150
    log.read_results_of(jobs)
    assert worker.stop() == 0
    again = [job for job in jobs if executions(log, job) != [1]]
    assert {outcome(log, job) for job in jobs} == {("succeeded", None)}
    assert 1 <= len(again) <= BATCH
    assert all(executions(log, job) == [2] for job in again)


def test_a_killed_parent_takes_its_child_with_it_and_loses_nothing(
    log: WorkerLog, submitter: Submitter, worker: Service
) -> None:
    jobs = submit(submitter, 200, delay_ms=20)
    log.read_until(lambda: len(log.results) >= 20)
    (child,) = worker.children()
    worker.kill()
    assert len(log.results) <= 150
    wait_until_gone(child)
    worker.start()
    log.read_results_of(jobs)
    assert {plain["result"]["disposition"] for job in jobs for plain in log.results[job]} == {"succeeded"}


def test_a_job_past_its_hard_limit_times_out_alone(log: WorkerLog, submitter: Submitter, worker: Service) -> None:
    slow = submitter.submit_nowait("echo", EchoInput("slow", delay_ms=60_000), hard_limit_ms=400, max_attempts=1)
    good = submit(submitter, 20)
    log.read_results_of(good | {slow})
    assert outcome(log, slow) == ("failed", "TIMEOUT_ERROR")
    assert {outcome(log, job) for job in good} == {("succeeded", None)}


def test_a_job_that_takes_long_shows_that_it_runs(log: WorkerLog, submitter: Submitter, worker: Service) -> None:
    quick = submit(submitter, 5)
    log.read_results_of(quick)
    slow = submitter.submit("echo", EchoInput("slow", delay_ms=1500)).job_id
    log.read_until(lambda: bool(log.progress))
    assert slow not in log.results
    log.read_results_of({slow})
    assert [(word["job_id"], word["stage"]) for word in log.progress] == [(slow, "started")]


def test_a_stopped_worker_finishes_what_it_holds_and_the_next_one_begins_after_it(
    log: WorkerLog, submitter: Submitter, worker: Service
) -> None:
    first = submit(submitter, 50, delay_ms=5)
    log.read_until(lambda: len(log.results) >= 1)
    assert worker.stop() == 0
    worker.start()
    second = submit(submitter, 50)
    log.read_results_of(first | second)
    assert all(executions(log, job) == [1] for job in first | second)


def test_a_job_that_kills_its_process_is_isolated_and_takes_no_other_with_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site"))
    topics.apply(settings, [KILLER])
    log = WorkerLog(settings, KILLER)
    killer, innocent = header(processor="killer"), [header(processor="killer") for _ in range(30)]
    with running(settings, ["worker", "killer"]):
        for number, job in enumerate(innocent):
            log.raw(log.request(job, EchoInput("work")))
            if number == 15:
                log.raw(log.request(killer, EchoInput("kill")))
        log.read_results_of({job.job_id for job in innocent} | {killer.job_id})
        log.read_until(lambda: bool(log.dead))
    log.close()
    assert {outcome(log, job.job_id) for job in innocent} == {("succeeded", None)}
    assert outcome(log, killer.job_id) == ("failed", "WORKER_LOST")
    assert executions(log, killer.job_id) == [2]
    ((value, fields),) = log.dead
    assert value == log.request(killer, EchoInput("kill"))
    assert fields[headers.DL_REASON] == b"WORKER_LOST"


@pytest.mark.parametrize(
    ("processor", "words"),
    [
        ("Broken", ["'killer'", "libmodel.so.3", "Traceback", "killer.py"]),
        ("Dying", ["'killer'", "died 3 times while starting"]),
        ("Missing", ["'killer'", "has no attribute 'Missing'"]),
    ],
)
def test_a_processor_that_can_not_start_stops_the_worker_by_name(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processor: str, words: list[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", processor))
    topics.apply(settings, [KILLER])
    service = Service(settings, ["worker", "killer"])
    assert service.ended() == ExitCode.INTERNAL
    said = service.log.read_text()
    assert [word for word in words if word not in said] == []


def test_workers_that_come_and_go_share_the_work_and_lose_none_of_it(
    log: WorkerLog, submitter: Submitter, worker: Service, settings: Settings
) -> None:
    jobs = submit(submitter, 20)
    log.read_results_of(jobs)
    second = Service(settings.model_copy(update={"max_batch": BATCH}), ["worker", "echo", "--device", "cpu"])

    def submit_more() -> None:
        more = submit(submitter, 50, delay_ms=10)
        log.read_results_of(more)
        jobs.update(more)

    wait_until(
        lambda: len(worker_ids(log)) == 2, lambda: "the second worker never got a live job", PATIENCE_S, submit_more
    )
    jobs |= submit(submitter, 400, delay_ms=20)
    assert worker.stop() == 0
    log.read_results_of(jobs)
    assert second.stop() == 0
    assert len(worker_ids(log)) == 2
    assert {plain["result"]["disposition"] for job in jobs for plain in log.results[job]} == {"succeeded"}


def test_a_worker_without_topics_says_what_to_do(settings: Settings) -> None:
    service = Service(settings.model_copy(update={"topic_prefix": "not-made."}), ["worker", "echo"])
    assert service.ended() != 0
    said = service.log.read_text()
    assert "not-made.requests.echo" in said
    assert "sluice topics apply" in said


def wait_until_gone(pid: int) -> None:
    """Wait until the kernel has ended a child whose parent is gone."""
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), lambda: f"process {pid} outlives its parent", 5)
