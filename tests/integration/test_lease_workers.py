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
from tests.harness.leased_road import Crew, Road, is_of, leased_road
from tests.harness.processors.leased import LEASE_S
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def road(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    with leased_road(stack, tmp_path_factory.mktemp("leases")) as made:
        yield made


@pytest.fixture(scope="module")
def crew(road: Road) -> Iterator[Crew]:
    made = Crew(road.settings)
    yield made
    made.stop()


def left(road: Road, job: str) -> tuple[object, ...]:
    """Return how many rows of a job's custody there are."""
    return road.rows(
        "SELECT (SELECT count(*) FROM leases WHERE job_id = %s), (SELECT count(*) FROM payloads WHERE job_id = %s)",
        job,
        job,
    )[0]


@pytest.mark.parametrize("lane", ["live", "bulk"])
def test_a_leased_job_goes_all_the_way_and_leaves_nothing_behind(road: Road, crew: Crew, lane: str) -> None:
    crew.need(1)
    job = road.submit("hello", lane=lane)
    road.wait(job, "COMPLETED")
    assert road.rows("SELECT output FROM outcomes WHERE job_id = %s", job) == [({"message": "hello", "length": 5},)]
    assert left(road, job) == (0, 0)


def test_a_retry_is_claimed_again_as_the_next_attempt(road: Road, crew: Crew) -> None:
    crew.need(1)
    job = road.submit("again")
    road.wait(job, "COMPLETED")
    assert road.kinds(job) == ["request", "request", "result", "retry"]
    assert road.rows("SELECT attempt FROM outcomes WHERE job_id = %s", job) == [(2,)]
    assert left(road, job) == (0, 0)


@pytest.mark.parametrize("message", ["polite", "stubborn"])
def test_a_running_job_is_asked_to_stop_and_its_process_killed_if_it_does_not(
    road: Road, crew: Crew, message: str
) -> None:
    crew.need(1)
    job = road.submit(message, 60_000)
    worker = crew.owner(road, job)
    (child,) = worker.children()
    road.cancel(job)
    road.wait(job, "CANCELLED")
    assert is_of(road.outcome(job)[2], worker)  # the worker's own result, before the timekeeper's grace was over
    assert (worker.children() == [child]) is (message == "polite")


def test_no_jobs_of_a_paused_processor_are_granted_and_its_workers_acknowledge(road: Road, crew: Crew) -> None:
    crew.need(1)
    with CommandClient(road.settings) as controls, wiring.command_store(road.settings) as orders:

        def answers() -> set[str]:
            (view,) = orders.processors(["leased"])
            return {answer.action for answer in view.acknowledgements}

        controls.pause("leased")
        wait_until(lambda: answers() == {"paused"}, lambda: str(answers()))
        job = road.submit("work")
        road.wait(job, "PENDING")
        with closing(wiring.lease_store(road.settings)) as store:
            assert store.claim("leased", "another", 1, 60) == []
        assert road.lease(job)[0] == "waiting"
        controls.resume("leased")
        road.wait(job, "COMPLETED")
        wait_until(lambda: answers() == {"resumed"}, lambda: str(answers()))


def test_a_job_that_kills_its_processes_is_given_up(road: Road, crew: Crew) -> None:
    crew.need(1)
    job = road.submit("kill")
    road.wait(job, "FAILED")
    assert road.outcome(job)[1] == "WORKER_LOST"
    (dead,) = road.scribe.messages(road.scribe.names.dead_letters, 1)
    assert dict(dead.headers())[headers.DL_REASON] == b"WORKER_LOST"


def test_a_job_of_ten_leases_stays_where_it_is_while_workers_join(road: Road, crew: Crew, tmp_path: Path) -> None:
    crew.need(1)
    long, begun = road.submit(f"until {tmp_path / 'go'}", 120_000), time.monotonic()
    worker = crew.owner(road, long)
    crew.need(3)
    quick = [road.submit("quick") for _ in range(4)]
    for job in quick:
        road.wait(job, "COMPLETED")
        assert not is_of(road.outcome(job)[2], worker)  # it is busy, and claims nothing that would wait
    time.sleep(max(0.0, begun + 10.5 * LEASE_S - time.monotonic()))
    (tmp_path / "go").touch()
    road.wait(long, "COMPLETED")
    assert is_of(road.outcome(long)[2], worker)
    assert road.state(long)[1] == 1
    assert road.kinds(long) == ["request", "result"]


def test_a_killed_workers_job_runs_elsewhere_soon_after_its_lease(road: Road, crew: Crew, tmp_path: Path) -> None:
    crew.need(2)
    job = road.submit(f"until {tmp_path / 'go'}", 120_000)
    first = crew.owner(road, job)
    gone = road.owner(job)
    first.kill()
    killed = time.monotonic()
    wait_until(lambda: road.owner(job) != gone, lambda: str(road.state(job)))
    assert time.monotonic() - killed < LEASE_S + 5
    (tmp_path / "go").touch()
    road.wait(job, "COMPLETED")
    assert road.outcome(job)[2] != gone
    assert road.state(job)[1] == 2


def test_a_worker_that_slept_through_its_lease_does_no_harm(road: Road, crew: Crew, tmp_path: Path) -> None:
    crew.need(2)
    job = road.submit("work", 1_000)
    sleeper = crew.owner(road, job)
    os.kill(sleeper.pid, signal.SIGSTOP)  # its child works on, and its result waits in the pipe
    road.wait(job, "COMPLETED")
    assert not is_of(road.outcome(job)[2], sleeper)
    os.kill(sleeper.pid, signal.SIGCONT)
    wait_until(lambda: "result_discarded" in sleeper.log.read_text(), sleeper.log.read_text)
    assert road.kinds(job) == ["request", "result"]
    # And it works on: the others together take two each at most.
    more = [road.submit(f"until {tmp_path / 'go'}", 120_000) for _ in range(2 * len(crew.services))]
    wait_until(lambda: any(is_of(road.owner(one), sleeper) for one in more), sleeper.log.read_text)
    (tmp_path / "go").touch()
    for one in more:
        road.wait(one, "COMPLETED")
