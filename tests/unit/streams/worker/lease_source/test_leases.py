"""What keeps a leased job a worker's own, on the store in memory: heart, claimer, and the gate before the log."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.lease_store import Grant, LeaseStore
from connectors.memory import MemoryDatabase
from connectors.store import LeaseRow
from schemas.errors import Unreachable, UsageError
from schemas.ids import new_id
from schemas.states import Disposition
from schemas.topics import TopicNames
from streams import wiring
from streams.settings import Settings
from streams.sink.event import Phase
from streams.sink.fold import fold
from streams.sink.rows import history_rows, run_rows
from streams.worker.in_flight import InFlightJobs
from streams.worker.lease_source.claimer import Claimer
from streams.worker.lease_source.fenced_publisher import FencedPublisher
from streams.worker.lease_source.held import HeldLease, HeldLeases, admitted
from streams.worker.lease_source.keeper import LeaseKeeper
from streams.worker.protocol import Answer
from tests.harness.events import event
from tests.harness.waiting import wait_until

LEASE_S = 30.0


class Producer:
    """Confirms whatever it is given, at the next poll."""

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


class Bench:
    """A worker's parts for leases, without a child."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store: LeaseStore = wiring.lease_store(settings)
        self.ledger, self.grips, self.producer = InFlightJobs(10), HeldLeases(), Producer()
        self.heart = LeaseKeeper(wiring.lease_store(settings), self.grips, "w1", "echo")
        producer: Any = self.producer
        names = TopicNames("")
        self.gate = FencedPublisher(
            self.grips, self.heart.beat_now, producer, self.ledger, names, "echo", "w1", lambda held: None
        )
        self.heart.answered = self.gate.look_again

    def offer(self) -> str:
        """A request that the sink has stored."""
        job = uuid.UUID(new_id())
        made = event(Phase.REQUESTED, job=job)
        folds, _ = fold([made])
        row = LeaseRow(job.bytes, 0, "requested", 1, "a", "echo", "live", b"k", b"v", json.dumps([]).encode())
        with closing(wiring.sink_store(self.settings)) as sink:
            sink.store(run_rows(folds, None), history_rows(folds), (), [row])
        return str(job)

    def take(self, *, sure_s: float = LEASE_S) -> HeldLease:
        """Claim the next job, and admit it; by our own clock it is ours for so long."""
        (grant,) = self.store.claim("echo", "w1", 1, LEASE_S)
        grip = HeldLease(grant, time.monotonic() + sure_s, TopicNames(""), self.heart.finished)
        admitted(self.grips, [grip], self.ledger.admit([(grip.request, grip.owned)], 0))
        return grip

    def answer(self, grip: HeldLease, value: bytes = b"result") -> None:
        assert grip.held is not None
        self.gate.publish(Answer(grip.held.slot, 1, Disposition.SUCCEEDED, grip.grant.job_id, 0, 1, value))

    def state(self, job: str) -> str:
        return str(self.database.leases[uuid.UUID(job).bytes, 0].state)

    @property
    def database(self) -> Any:
        store: Any = self.store
        return store._db

    def close(self) -> None:
        self.gate.stop(1)
        self.heart.stop(5)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    name = uuid.uuid4().hex
    made = Bench(Settings(database_url=SecretStr(f"memory:{name}"), home=tmp_path))
    made.gate.start()
    yield made
    made.close()
    MemoryDatabase.forget(name)


def test_a_result_in_the_log_settles_its_lease(bench: Bench) -> None:
    job = bench.offer()
    grip = bench.take()
    bench.heart.start(LEASE_S)
    bench.answer(grip)
    wait_until(lambda: bench.state(job) == "settled", lambda: bench.state(job))
    assert bench.producer.topics == ["results.echo"]
    assert (len(bench.grips), len(bench.ledger)) == (0, 0)


def test_a_result_waits_while_nobody_knows_whose_the_job_is_and_goes_out_when_it_is_ours(bench: Bench) -> None:
    job = bench.offer()
    grip = bench.take(sure_s=-1)
    bench.answer(grip)
    assert bench.producer.topics == []
    bench.heart.start(LEASE_S)
    wait_until(lambda: bench.state(job) == "settled", lambda: bench.state(job))
    assert bench.producer.topics == ["results.echo"]


def test_a_result_of_a_job_that_is_anothers_goes_nowhere(bench: Bench) -> None:
    job = bench.offer()
    grip = bench.take(sure_s=-1)
    assert bench.store.release(job, 0, grip.grant.fence, started=True)
    (other,) = bench.store.claim("echo", "w2", 1, LEASE_S)
    bench.answer(grip)
    bench.heart.start(LEASE_S)
    wait_until(lambda: bench.gate.discarded == 1, lambda: "nothing was discarded")
    assert bench.producer.topics == []
    assert list(bench.heart.lost) == [grip]
    assert (len(bench.grips), len(bench.ledger)) == (0, 0)
    assert bench.store.settle(job, 0, other.fence)


def test_an_answer_that_says_nothing_ends_nothing(bench: Bench) -> None:
    job = bench.offer()
    bench.answer(bench.take(), b"")
    assert (bench.state(job), len(bench.ledger)) == ("held", 0)


def test_a_job_that_was_lost_and_granted_to_us_anew_is_held_by_its_new_fence(bench: Bench) -> None:
    job = bench.offer()
    old = bench.take()
    assert bench.store.release(job, 0, old.grant.fence, started=True)
    bench.grips.lose(old)
    new = bench.take()
    bench.grips.let_go(old)
    assert [hold.fence for hold in bench.grips.holds()] == [new.grant.fence]


def test_what_is_given_back_can_be_claimed_at_once(bench: Bench) -> None:
    bench.offer()
    grip = bench.take()
    bench.heart.start(LEASE_S)
    bench.heart.give_back(grip.grant, started=True)
    (again,) = bench.store.claim("echo", "w2", 1, LEASE_S, wait_s=20)
    assert (again.execution, again.crashes) == (2, 0)


class Door:
    """Grants that come when they are put there, or an error."""

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


def test_a_claimer_asks_for_no_more_until_what_it_found_was_taken() -> None:
    door, found = Door(), list[Any](["one", "other"])
    door.answers = [[], found]
    claimer = Claimer(door.claim, door.closed.set, "echo")
    claimer.start()
    claimer.ask(2)
    wait_until(lambda: len(door.asked) == 2, lambda: str(door.asked))
    claimer.ask(2)  # both are there already
    ((_, grants),) = claimer.take(20)
    assert grants == found
    assert claimer.stop(5) == []
    assert door.asked == [2, 2]
    assert door.closed.is_set()


def test_a_claimer_waits_for_a_store_that_is_away_and_gives_up_on_one_that_is_wrong() -> None:
    door = Door()
    door.answers = [Unreachable("It is away."), UsageError("It was never migrated.")]
    claimer = Claimer(door.claim, door.closed.set, "echo")
    claimer.start()
    claimer.ask(1)
    wait_until(lambda: claimer.fault is not None, lambda: str(door.asked))
    assert isinstance(claimer.fault, UsageError)
    assert claimer.take(0) == []
    claimer.stop(5)
