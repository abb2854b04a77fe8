"""Custody by lease on real parts: long jobs, workers that come, go, die and sleep, and what becomes of their jobs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas import contract, headers
from schemas.avsc import result_schema
from schemas.errors import ExitCode
from schemas.plain import to_plain
from schemas.records import EchoInput, EchoOutput, ErrorInfo, JobHeader, Result, ResultInfo, Timings
from streams import compose
from streams.control import Controls
from streams.log import topics
from streams.settings import Settings
from streams.sink import Sink
from streams.submit import Submitter
from streams.timekeeper import Timekeeper
from tests.harness.scribe import Scribe, in_thread, wait_until
from tests.harness.services import Service, running
from tests.unit.streams.worker.leased import LEASE_S, LEASED, installed

pytestmark = pytest.mark.stack

#: The same worker three times, with logs of its own.
COMMANDS = [["worker", "leased"], ["worker", "leased", "--device", "cpu"], ["worker", "leased", "--device", "auto"]]


class Road:
    """A sink and a timekeeper; jobs go in, and what is known of them comes out."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.scribe = Scribe(settings)
        self.submitter = Submitter(settings)

    def submit(self, message: str, delay_ms: int = 0, **options: Any) -> str:
        return self.submitter.submit("leased", EchoInput(message, delay_ms), **options).job_id

    def cancel(self, job_id: str) -> None:
        with Controls(self.settings) as controls:
            controls.cancel(job_id)

    def state(self, job_id: str) -> tuple[Any, ...]:
        """State, execution and owner of a run."""
        found = self.rows("SELECT state, execution, owner FROM runs WHERE job_id = %s", job_id)
        return found[0] if found else ("none", 0, "")

    def owner(self, job_id: str) -> str:
        """Of a job that runs."""
        return str(self.state(job_id)[2])

    def lease(self, job_id: str) -> tuple[Any, ...]:
        return self.rows("SELECT state, attempt, execution, losses FROM leases WHERE job_id = %s", job_id)[0]

    def outcome(self, job_id: str) -> tuple[Any, ...]:
        """Status, error code and worker of an outcome."""
        return self.rows("SELECT status, error_code, worker_id FROM outcomes WHERE job_id = %s", job_id)[0]

    def kinds(self, job_id: str) -> list[str]:
        return sorted(kind for (kind,) in self.rows("SELECT kind FROM history WHERE job_id = %s", job_id))

    def wait(self, job_id: str, state: str) -> None:
        wait_until(lambda: self.state(job_id)[0] == state, lambda: f"{self.state(job_id)}, not {state}")

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.scribe.rows(query, *parameters)


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The processor is installed, here and in the workers."""
    folder = installed(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    contract._entry_points.cache_clear()
    yield folder
    monkeypatch.undo()
    contract._entry_points.cache_clear()


@pytest.fixture
def road(known: Path, settings: Settings) -> Iterator[Road]:
    topics.apply(settings, [LEASED])
    made = Road(settings)
    with in_thread(Sink(settings, notify=False).run), in_thread(Timekeeper(settings).run):
        yield made
    made.scribe.close()


def ready(service: Service) -> None:
    wait_until(lambda: "worker_ready" in service.log.read_text(), service.log.read_text)


@pytest.fixture
def worker(road: Road) -> Iterator[Service]:
    with running(road.settings, COMMANDS[0]) as (service,):
        ready(service)
        yield service


@pytest.fixture
def pair(road: Road) -> Iterator[list[Service]]:
    with running(road.settings, *COMMANDS[:2]) as services:
        for service in services:
            ready(service)
        yield services


def owner_of(road: Road, job: str, services: list[Service]) -> Service:
    """Whoever runs a job."""
    road.wait(job, "PROCESSING")
    (found,) = [service for service in services if f"-{service.pid}-" in road.owner(job)]
    return found


def ran_at(road: Road, job: str, service: Service) -> bool:
    return f"-{service.pid}-" in road.outcome(job)[2]


def test_leased_jobs_go_all_the_way_and_leave_nothing_behind(road: Road, worker: Service) -> None:
    jobs = [road.submit("hello", lane=lane) for lane in ("live", "bulk")]
    for job in jobs:
        road.wait(job, "COMPLETED")
    assert road.rows("SELECT output FROM outcomes") == [({"message": "hello", "length": 5},)] * 2
    assert road.rows("SELECT (SELECT count(*) FROM leases), (SELECT count(*) FROM payloads)") == [(0, 0)]


def test_a_retry_is_claimed_again_as_the_next_attempt(road: Road, worker: Service) -> None:
    job = road.submit("again")
    road.wait(job, "COMPLETED")
    assert road.kinds(job) == ["request", "request", "result", "retry"]
    assert road.rows("SELECT attempt FROM outcomes") == [(2,)]
    assert road.rows("SELECT (SELECT count(*) FROM leases), (SELECT count(*) FROM payloads)") == [(0, 0)]


@pytest.mark.parametrize("message", ["polite", "stubborn"])
def test_a_running_job_is_told_to_stop_and_its_process_killed_if_it_does_not(
    road: Road, worker: Service, message: str
) -> None:
    job = road.submit(message, 60_000)
    road.wait(job, "PROCESSING")
    (child,) = worker.children()
    road.cancel(job)
    road.wait(job, "CANCELLED")
    assert ran_at(road, job, worker)  # the worker's own word, before the timekeeper lost its patience
    assert (worker.children() == [child]) is (message == "polite")


def test_a_job_that_kills_its_processes_is_given_up(road: Road, worker: Service) -> None:
    job = road.submit("kill")
    road.wait(job, "FAILED")
    assert road.outcome(job)[1] == "WORKER_LOST"
    (dead,) = road.scribe.messages(road.scribe.names.dead_letters, 1)
    assert dict(dead.headers())[headers.DL_REASON] == b"WORKER_LOST"


def test_a_job_of_ten_leases_stays_where_it_is_while_workers_join(road: Road, worker: Service, tmp_path: Path) -> None:
    long, begun = road.submit(f"until {tmp_path / 'told'}", 120_000), time.monotonic()
    assert owner_of(road, long, [worker]) is worker
    with running(road.settings, *COMMANDS[1:]) as others:
        for other in others:
            ready(other)
        quick = [road.submit("quick") for _ in range(4)]
        for job in quick:
            road.wait(job, "COMPLETED")
            assert not ran_at(road, job, worker)  # it is busy, and claims nothing that would wait
        time.sleep(max(0.0, begun + 10.5 * LEASE_S - time.monotonic()))
        (tmp_path / "told").touch()
        road.wait(long, "COMPLETED")
    assert ran_at(road, long, worker)
    assert road.state(long)[1] == 1
    assert road.kinds(long) == ["request", "result"]


def test_a_killed_workers_job_runs_elsewhere_soon_after_its_lease(road: Road, pair: list[Service]) -> None:
    job = road.submit("work", 2_000)
    first = owner_of(road, job, pair)
    (second,) = [service for service in pair if service is not first]
    first.kill()
    killed = time.monotonic()
    wait_until(lambda: f"-{second.pid}-" in road.owner(job), lambda: str(road.state(job)))
    assert time.monotonic() - killed < LEASE_S + 5
    road.wait(job, "COMPLETED")
    assert ran_at(road, job, second)
    assert road.state(job)[1] == 2


def test_a_worker_that_slept_through_its_lease_does_no_harm(road: Road, pair: list[Service]) -> None:
    job = road.submit("work", 1_000)
    first = owner_of(road, job, pair)
    os.kill(first.pid, signal.SIGSTOP)  # its child works on, and its result waits in the pipe
    road.wait(job, "COMPLETED")
    assert not ran_at(road, job, first)
    os.kill(first.pid, signal.SIGCONT)
    wait_until(lambda: "result_discarded" in first.log.read_text(), first.log.read_text)
    (second,) = [service for service in pair if service is not first]
    assert second.stop() == 0
    again = road.submit("work")
    road.wait(again, "COMPLETED")
    assert ran_at(road, again, first)
    assert road.kinds(job) == ["request", "result"]


def test_a_stopped_worker_gives_back_what_it_can_not_finish(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_DRAIN_S", "0.2")
    job = road.submit("long", 60_000)
    with running(road.settings, COMMANDS[0]) as (worker,):
        road.wait(job, "PROCESSING")
        assert road.lease(job) == ("held", 1, 1, 0)
        assert worker.stop() == 0
        assert road.lease(job) == ("waiting", 1, 2, 0)


def test_a_job_lost_too_often_ends_as_worker_lost(road: Road) -> None:
    job = road.submit("work")
    store = compose.lease_store(road.settings)
    for execution in (1, 2):
        (grant,) = store.claim("leased", "careless", 1, 0.05, executions=2, wait_s=20)
        assert grant.execution == execution
    road.wait(job, "FAILED")
    store.close()
    assert road.outcome(job)[1] == "WORKER_LOST"
    (dead,) = road.scribe.messages(road.scribe.names.dead_letters, 1)
    assert dead.value() == grant.value
    assert dict(dead.headers())[headers.DL_ATTEMPTS] == b"2"


def test_of_an_older_execution_only_a_success_counts(road: Road) -> None:
    job = road.submit("work")
    store = compose.lease_store(road.settings)
    (stale,) = store.claim("leased", "first", 1, 0.05, wait_s=20)
    (current,) = store.claim("leased", "second", 1, 60, wait_s=20)
    assert (stale.execution, current.execution) == (1, 2)
    assert current.fence > stale.fence
    tell(road, job, "failed", execution=1)
    wait_until(lambda: road.kinds(job) == ["request", "superseded"], lambda: str(road.kinds(job)))
    tell(road, job, "retry", execution=1)
    wait_until(lambda: road.kinds(job) == ["request", "superseded", "superseded"], lambda: str(road.kinds(job)))
    assert road.state(job)[0] == "PENDING"
    assert current.hold.key in store.heartbeat("second", [current.hold], 60).renewed
    tell(road, job, "succeeded", execution=1)
    road.wait(job, "COMPLETED")
    assert current.hold.key in store.heartbeat("second", [current.hold], 60).lost
    store.close()


def test_a_policy_that_contradicts_its_contract_stops_the_worker_by_name(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(installed(tmp_path / "other", "ByOffset")))
    service = Service(road.settings, COMMANDS[0])
    assert service.process.wait(60) == ExitCode.INTERNAL
    said = service.log.read_text()
    assert [word for word in ("'leased'", "'lease'", "'offset'", "ProcessorContract") if word not in said] == []


def test_topics_and_doctor_miss_no_group_of_a_leased_processor(road: Road) -> None:
    assert [change for change in topics.plan(road.settings, [LEASED]) if "workers.leased" in change.target] == []


def tell(road: Road, job_id: str, disposition: str, *, execution: int) -> None:
    """A result, as a worker would publish it."""
    now = datetime.now(UTC)
    sha256 = road.rows("SELECT input_sha256 FROM jobs WHERE job_id = %s", job_id)[0][0]
    header = JobHeader(job_id, "leased", now, sha256, custody="lease")
    error = None if disposition == "succeeded" else ErrorInfo("OUT_OF_MEMORY", "it broke")
    info = ResultInfo(disposition, "zombie", "cpu", Timings(now, now, now), execution=execution, error=error)
    output = EchoOutput("work", 4) if error is None else None
    topic = road.scribe.names.results("leased")
    encoder = compose.codec(road.settings).encoder(f"{topic}-value", result_schema(LEASED))
    road.scribe.raw(topic, encoder.encode(to_plain(Result(header, info, output))), [], job_id)
