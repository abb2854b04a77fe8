"""Jobs by lease on the memory store: claims, renewals, and results that are published only under a sure lease."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.lease_store import Grant, LeaseStore
from connectors.memory import MemoryDatabase
from connectors.sink_store import LeaseRow
from schemas.errors import Unreachable, UsageError
from schemas.ids import new_id
from schemas.states import Disposition
from schemas.topics import TopicNames
from streams import wiring
from streams.health.loop_threads import LoopThreads
from streams.settings import Settings
from streams.sink.event import Phase
from streams.sink.fold import fold
from streams.sink.rows import history_rows, run_rows
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.lease_source.claimer import Claimer
from streams.worker.lease_source.held import HeldLease, HeldLeases
from streams.worker.lease_source.source import LeaseSource
from streams.worker.protocol import Answer, ChildConfig
from streams.worker.publisher import Publisher
from tests.harness.events import event
from tests.harness.waiting import wait_until

LEASE_S = 30.0
THREADS = LoopThreads("worker", None)


class Producer:
    """Confirms each record at the next poll."""

    def __init__(self) -> None:
        self.topics: list[str] = []
        self._reports: list[Any] = []

    def produce(self, topic: str, *_: Any, on_delivery: Any, **__: Any) -> None:
        self.topics.append(topic)
        self._reports.append(on_delivery)

    def poll(self, timeout: float) -> int:
        time.sleep(0.001)
        reports, self._reports = self._reports, []
        for report in reports:
            report(None, None)
        return len(reports)

    def flush(self, timeout: float) -> int:
        return 0


class Supervisor:
    """Stands in for the child's supervisor: remembers which jobs it must stop."""

    restarts = 0

    def __init__(self) -> None:
        self.cancelled: list[int] = []
        self.disowned: list[int] = []

    def cancel(self, slots: list[int]) -> None:
        self.cancelled += slots

    def disown(self, slots: list[int]) -> None:
        self.disowned += slots


class Worker:
    """The parts of a worker that handle leases, without a child."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store: LeaseStore = wiring.lease_store(settings)
        self.in_flight, self.producer, self.supervisor = InFlightJobs(), Producer(), Supervisor()
        producer: Any = self.producer
        supervisor: Any = self.supervisor
        self.publisher = Publisher(producer, self.in_flight, TopicNames(""), "echo", "w1", lambda job: None, THREADS)
        self.publisher.start()
        config = ChildConfig("echo", "w1", "", "", {}, [], {})
        self.source = LeaseSource(
            settings,
            config,
            {"batch": 1, "lease_s": LEASE_S, "executions": 3},
            self.in_flight,
            supervisor,
            lambda: wiring.lease_store(settings),
            THREADS,
        )
        self.source.start()

    def offer(self) -> str:
        """A request that the sink has stored."""
        job = uuid.UUID(new_id())
        requested = event(Phase.REQUESTED, job=job)
        folds, _ = fold([requested])
        row = LeaseRow(job.bytes, 0, "requested", 1, "a", "echo", "live", b"k", b"v", json.dumps([]).encode())
        with closing(wiring.sink_store(self.settings)) as sink:
            sink.store(run_rows(folds, None), history_rows(folds), (), [row])
        return str(job)

    def take(self) -> InFlightJob:
        """Claim the next job."""
        jobs = iter(lambda: self.source.poll(0.05, jobs_wait=False), None)
        return next(job for found in jobs for job in found or [])

    def answer(self, job: InFlightJob, value: bytes = b"result") -> bool | None:
        """Publish an answer if the source allows it; return what it decided."""
        grant = lease_of(job).grant
        answer = Answer(job.slot, 1, Disposition.SUCCEEDED, grant.job_id, 0, 1, value)
        decision = self.source.may_publish(job, answer)
        if decision:
            self.publisher.publish(answer)
        return decision

    def state(self, job: str) -> str:
        return str(self.database.leases[uuid.UUID(job).bytes, 0].state)

    @property
    def database(self) -> Any:
        store: Any = self.store
        return store._db

    def close(self) -> None:
        self.source.close()
        self.publisher.stop(1)


def lease_of(job: InFlightJob) -> HeldLease:
    assert isinstance(job.origin, HeldLease)
    return job.origin


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    name = uuid.uuid4().hex
    made = Worker(Settings(database_url=SecretStr(f"memory:{name}"), home=tmp_path))
    yield made
    made.close()
    MemoryDatabase.forget(name)


def test_a_result_in_the_log_settles_its_lease(worker: Worker) -> None:
    job_id = worker.offer()
    assert worker.answer(worker.take())
    wait_until(lambda: worker.state(job_id) == "settled", lambda: worker.state(job_id))
    assert worker.producer.topics == ["results.echo"]
    assert len(worker.in_flight) == 0


def test_a_result_waits_while_its_lease_may_have_expired_and_is_published_once_it_is_renewed(worker: Worker) -> None:
    job_id = worker.offer()
    job = worker.take()
    lease_of(job).renew(0.0)
    assert worker.answer(job) is None
    assert worker.producer.topics == []
    wait_until(lambda: worker.answer(job) is True, lambda: "the lease was not renewed")
    wait_until(lambda: worker.state(job_id) == "settled", lambda: worker.state(job_id))
    assert worker.producer.topics == ["results.echo"]


def test_the_result_of_another_workers_job_is_discarded(worker: Worker) -> None:
    job_id = worker.offer()
    job = worker.take()
    lease = lease_of(job)
    assert worker.store.release(job_id, 0, lease.grant.fence, started=True)
    (other,) = worker.store.claim("echo", "w2", 1, LEASE_S)
    lease.renew(0.0)
    assert worker.answer(job) is None
    wait_until(lambda: lease.lost, lambda: "the keeper did not notice")
    worker.source.tick(time.monotonic())
    assert worker.supervisor.cancelled == [job.slot], "the child must stop it"
    assert worker.answer(job) is False
    assert (worker.producer.topics, len(worker.in_flight)) == ([], 0)
    assert worker.store.settle(job_id, 0, other.fence)


def test_an_answer_without_a_record_ends_no_lease(worker: Worker) -> None:
    job_id = worker.offer()
    assert worker.answer(worker.take(), b"") is False
    assert (worker.state(job_id), len(worker.in_flight)) == ("held", 0)


def test_a_lost_job_that_is_granted_to_us_again_is_held_by_its_new_fence(worker: Worker) -> None:
    worker.offer()
    old = lease_of(worker.take())
    new = HeldLease(replace(old.grant, fence=old.grant.fence + 1), 0.0, TopicNames(""), print, print)
    leases = HeldLeases()
    leases.add([old])
    leases.add([new])
    leases.remove(old)
    assert [hold.fence for hold in leases.holds()] == [new.grant.fence]


def test_a_released_job_can_be_claimed_at_once(worker: Worker) -> None:
    worker.offer()
    job = worker.take()
    worker.source.release([job])
    assert worker.supervisor.disowned == [job.slot]
    (again,) = worker.store.claim("echo", "w2", 1, LEASE_S, wait_s=20)
    assert (again.execution, again.crashes) == (1, 0)


def test_a_job_that_runs_at_the_end_is_released_with_its_execution_counted(worker: Worker) -> None:
    worker.offer()
    worker.in_flight.started([worker.take().slot])
    worker.source.close()
    (again,) = worker.store.claim("echo", "w2", 1, LEASE_S, wait_s=20)
    assert (again.execution, again.crashes) == (2, 0)


class Claims:
    """Stands in for the store: returns prepared grants, or raises an error."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.answers: list[Any] = []
        self.closed = threading.Event()

    def claim(self, count: int, wait_s: float) -> list[Grant]:
        self.asked.append(count)
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Exception):
            raise answer
        time.sleep(0.001)
        return list(answer)


def test_only_the_first_release_of_a_stopping_worker_waits_for_a_claim(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(worker.source._claimer._thread, "join", waits.append)
    worker.source.release([])
    worker.source.release([])
    assert len(waits) == 1


def test_a_claimer_asks_for_no_more_until_what_it_found_was_taken() -> None:
    claims, found = Claims(), list[Any](["one", "other"])
    claims.answers = [[], found]
    claimer = Claimer(claims.claim, claims.closed.set, "echo", THREADS)
    claimer.start()
    claimer.ask(2)
    wait_until(lambda: len(claims.asked) == 2, lambda: str(claims.asked))
    claimer.ask(2)  # both are there already
    ((_, grants),) = claimer.take(20)
    assert grants == found
    assert claimer.stop(5) == []
    assert claims.asked == [2, 2]
    assert claims.closed.is_set()


def test_a_claimer_waits_for_an_unreachable_store_and_gives_up_on_a_wrong_one() -> None:
    claims = Claims()
    claims.answers = [Unreachable("It is away."), UsageError("It was never migrated.")]
    claimer = Claimer(claims.claim, claims.closed.set, "echo", THREADS)
    claimer.start()
    claimer.ask(1)
    wait_until(lambda: claimer.fault is not None, lambda: str(claims.asked))
    assert isinstance(claimer.fault, UsageError)
    assert claimer.take(0) == []
    claimer.stop(5)


class Store:
    """Stands in for a lease store; only its end matters."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_source_that_never_began_closes_its_stores(worker: Worker) -> None:
    stores: list[Any] = [Store(), Store()]
    config = ChildConfig("echo", "w1", "", "", {}, [], {})
    ready = {"batch": 1, "lease_s": LEASE_S, "executions": 3}
    supervisor: Any = Supervisor()
    opened = iter(stores)
    source = LeaseSource(worker.settings, config, ready, InFlightJobs(), supervisor, lambda: next(opened), THREADS)
    source.close()
    assert [store.closed for store in stores] == [1, 1]
