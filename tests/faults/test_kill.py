"""kill -9 of each part in the middle of five hundred jobs: five hundred outcomes, rows and deliveries all the same."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress

import psycopg
import pytest

from bench.receiver import Receiver
from streams.settings import Settings
from tests.faults.scenario import BATCH, JOBS, Aftermath, aftermath, assert_exactly_once, strike_during, submit_all
from tests.harness.services import Service
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack

PATIENCE_S = 60.0
MUTANT = (sys.executable, "-m", "tests.faults.commits_before_delivery")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


class Services:
    """Worker, sink, notify and timekeeper, each a process that a test may kill and start again."""

    def __init__(self, settings: Settings, worker: Sequence[str] | None = None) -> None:
        self.settings = settings.model_copy(update={"notify": "service", "max_batch": BATCH})
        self.worker = Service(self.settings, ["worker", "echo"], worker) if worker else self._service("worker", "echo")
        self.sink = self._service("sink")
        self.notify = self._service("notify")
        self.timekeeper = self._service("timekeeper")

    def _service(self, *args: str) -> Service:
        return Service(self.settings, args)

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as all_of_them:
            for service in (self.worker, self.sink, self.notify, self.timekeeper):
                all_of_them.callback(service.stop)
                service.process.terminate()


def run(services: Services, receiver: Receiver, victim: str, patience_s: float = PATIENCE_S) -> Aftermath:
    submitted = submit_all(services.settings, receiver)

    def strike() -> None:
        if victim == "child":
            for pid in services.worker.children():
                os.kill(pid, signal.SIGKILL)
            return
        service: Service = getattr(services, victim)
        service.kill()
        service.start()

    unfinished = strike_during(receiver, strike, patience_s)
    receiver.wait_for(JOBS, patience_s)
    settle(services.settings)
    return aftermath(services.settings, submitted, receiver, unfinished)


def settle(settings: Settings) -> None:
    """Wait until the deliveries that were made are recorded as made, at most ten seconds."""
    query = "SELECT count(*) FROM deliveries WHERE state = 'delivered'"
    with psycopg.connect(settings.database, autocommit=True) as database, suppress(AssertionError):
        wait_until(lambda: database.execute(query).fetchone() == (JOBS,), lambda: "", 10)


@pytest.mark.parametrize("victim", ["child", "worker", "sink", "notify"])
def test_nothing_is_lost_and_nothing_counts_twice_when_it_is_killed(
    settings: Settings, receiver: Receiver, victim: str
) -> None:
    with Services(settings) as services:
        assert_exactly_once(run(services, receiver, victim))


def test_a_worker_whose_process_is_killed_again_and_again_goes_on(settings: Settings, receiver: Receiver) -> None:
    with Services(settings) as services:
        submit_all(services.settings, receiver)
        assert receiver.wait_for(20, PATIENCE_S)
        killed: set[int] = set()
        while len(killed) < 6:  # most of them while they are still starting
            for pid in set(services.worker.children()) - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        assert receiver.wait_for(JOBS, PATIENCE_S), "every job ended, and its backend was called"
        assert services.worker.process.poll() is None


def test_the_test_goes_red_when_offsets_are_committed_before_delivery(settings: Settings, receiver: Receiver) -> None:
    with Services(settings, worker=MUTANT) as services:
        after = run(services, receiver, "worker", patience_s=15)
    with pytest.raises(AssertionError, match="one outcome for each job"):
        assert_exactly_once(after)


def test_the_test_goes_red_when_the_arbiters_unique_key_is_dropped(settings: Settings, receiver: Receiver) -> None:
    with psycopg.connect(settings.database, autocommit=True) as database:
        database.execute("ALTER TABLE outcomes DROP CONSTRAINT outcomes_pkey")
    with Services(settings) as services:
        with pytest.raises(AssertionError):
            assert_exactly_once(run(services, receiver, "worker", patience_s=15))
        # Red for the right reason: without the key, Postgres has nothing to arbitrate by and stores no outcome at all.
        wait_until(
            lambda: "no unique or exclusion constraint" in services.sink.log.read_text(), services.sink.log.read_text
        )
