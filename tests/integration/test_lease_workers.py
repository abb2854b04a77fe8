"""Workers that claim jobs by lease: they start, stop, crash and freeze, and no job is lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from schemas import headers
from streams import wiring
from streams.client.commands import CommandClient
from tests.harness.leased_services import LeasedServices, SharedWorkers, is_of, leased_services
from tests.harness.processors.leased import LEASE_S
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def services(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LeasedServices]:
    with leased_services(stack, tmp_path_factory.mktemp("leases")) as made:
        yield made


@pytest.fixture(scope="module")
def workers(services: LeasedServices) -> Iterator[SharedWorkers]:
    made = SharedWorkers(services.settings)
    yield made
    made.stop()


def left(services: LeasedServices, job: str) -> tuple[object, ...]:
    """Return how many rows of a job's custody there are."""
    return services.rows(
        "SELECT (SELECT count(*) FROM leases WHERE job_id = %s), (SELECT count(*) FROM payloads WHERE job_id = %s)",
        job,
        job,
    )[0]


@pytest.mark.parametrize("lane", ["live", "bulk"])
def test_a_leased_job_goes_all_the_way_and_leaves_nothing_behind(
    services: LeasedServices, workers: SharedWorkers, lane: str
) -> None:
    workers.need(1)
    job = services.submit("hello", lane=lane)
    services.wait(job, "COMPLETED")
    assert services.rows("SELECT output FROM outcomes WHERE job_id = %s", job) == [({"message": "hello", "length": 5},)]
    assert left(services, job) == (0, 0)


def test_a_retry_is_claimed_again_as_the_next_attempt(services: LeasedServices, workers: SharedWorkers) -> None:
    workers.need(1)
    job = services.submit("again")
    services.wait(job, "COMPLETED")
    assert services.kinds(job) == ["request", "request", "result", "retry"]
    assert services.rows("SELECT attempt FROM outcomes WHERE job_id = %s", job) == [(2,)]
    assert left(services, job) == (0, 0)


@pytest.mark.parametrize("message", ["polite", "stubborn"])
def test_a_running_job_is_asked_to_stop_and_its_process_killed_if_it_does_not(
    services: LeasedServices, workers: SharedWorkers, message: str
) -> None:
    workers.need(1)
    job = services.submit(message, 60_000)
    worker = workers.owner(services, job)
    (child,) = worker.children()
    services.cancel(job)
    services.wait(job, "CANCELLED")
    assert is_of(services.outcome(job)[2], worker)  # the worker's own result, before the timekeeper's grace was over
    assert (worker.children() == [child]) is (message == "polite")


def test_no_jobs_of_a_paused_processor_are_granted_and_its_workers_acknowledge(
    services: LeasedServices, workers: SharedWorkers
) -> None:
    workers.need(1)
    with CommandClient(services.settings) as controls, wiring.command_store(services.settings) as orders:

        def answers() -> set[str]:
            (view,) = orders.processors(["leased"])
            return {answer.action for answer in view.acknowledgements}

        controls.pause("leased")
        wait_until(lambda: answers() == {"paused"}, lambda: str(answers()))
        job = services.submit("work")
        services.wait(job, "PENDING")
        with closing(wiring.lease_store(services.settings)) as store:
            assert store.claim("leased", "another", 1, 60) == []
        assert services.lease(job)[0] == "waiting"
        controls.resume("leased")
        services.wait(job, "COMPLETED")
        wait_until(lambda: answers() == {"resumed"}, lambda: str(answers()))


def test_a_job_that_kills_its_processes_is_given_up(services: LeasedServices, workers: SharedWorkers) -> None:
    workers.need(1)
    job = services.submit("kill")
    services.wait(job, "FAILED")
    assert services.outcome(job)[1] == "WORKER_LOST"
    (dead,) = services.scribe.messages(services.scribe.names.dead_letters, 1)
    assert dict(dead.headers())[headers.DL_REASON] == b"WORKER_LOST"


def test_a_job_of_ten_leases_stays_where_it_is_while_workers_join(
    services: LeasedServices, workers: SharedWorkers, tmp_path: Path
) -> None:
    workers.need(1)
    long, begun = services.submit(f"until {tmp_path / 'go'}", 120_000), time.monotonic()
    worker = workers.owner(services, long)
    workers.need(3)
    quick = [services.submit("quick") for _ in range(4)]
    for job in quick:
        services.wait(job, "COMPLETED")
        assert not is_of(services.outcome(job)[2], worker)  # it is busy, and claims nothing that would wait
    time.sleep(max(0.0, begun + 10.5 * LEASE_S - time.monotonic()))
    (tmp_path / "go").touch()
    services.wait(long, "COMPLETED")
    assert is_of(services.outcome(long)[2], worker)
    assert services.state(long)[1] == 1
    assert services.kinds(long) == ["request", "result"]


def test_a_killed_workers_job_runs_elsewhere_soon_after_its_lease(
    services: LeasedServices, workers: SharedWorkers, tmp_path: Path
) -> None:
    workers.need(2)
    job = services.submit(f"until {tmp_path / 'go'}", 120_000)
    first = workers.owner(services, job)
    gone = services.owner(job)
    first.kill()
    killed = time.monotonic()
    wait_until(lambda: services.owner(job) != gone, lambda: str(services.state(job)))
    assert time.monotonic() - killed < LEASE_S + 5
    (tmp_path / "go").touch()
    services.wait(job, "COMPLETED")
    assert services.outcome(job)[2] != gone
    assert services.state(job)[1] == 2


def test_a_worker_that_slept_through_its_lease_does_no_harm(
    services: LeasedServices, workers: SharedWorkers, tmp_path: Path
) -> None:
    workers.need(2)
    job = services.submit("work", 1_000)
    sleeper = workers.owner(services, job)
    os.kill(sleeper.pid, signal.SIGSTOP)  # its child works on, and its result waits in the pipe
    services.wait(job, "COMPLETED")
    assert not is_of(services.outcome(job)[2], sleeper)
    os.kill(sleeper.pid, signal.SIGCONT)
    wait_until(lambda: "result_discarded" in sleeper.log.read_text(), sleeper.log.read_text)
    assert services.kinds(job) == ["request", "result"]
    # And it works on: the others together take two each at most.
    more = [services.submit(f"until {tmp_path / 'go'}", 120_000) for _ in range(2 * len(workers.services))]
    wait_until(lambda: any(is_of(services.owner(one), sleeper) for one in more), sleeper.log.read_text)
    (tmp_path / "go").touch()
    for one in more:
        services.wait(one, "COMPLETED")
