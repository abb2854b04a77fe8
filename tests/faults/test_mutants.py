"""Mutants of the engine: each is broken in one place, and the checker finds what it breaks, in the same scenario that leaves
the engine itself without a finding.

The scenarios run on the in-memory twins, step by step, so that each always meets the moment that matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from connectors.memory.lease_store import MemoryLeaseStore
from connectors.memory.sink_store import MemorySinkStore
from connectors.sink_store import Fenced
from schemas.errors import Unreachable
from streams import wiring
from streams.sink.lease_fence import LeaseFence
from streams.sink.outcomes import OutcomePublisher
from streams.sink.positions import Positions
from streams.sink.session import Session
from streams.sink.writer import BatchWriter
from streams.worker.kafka_source.assigned_partitions import AssignedPartitions
from streams.worker.kafka_source.offsets import OffsetTracker
from tests.faults.twins import Installation, TwinWorker, installation
from tests.harness.checker.findings import check
from tests.harness.sink_kit import HookedStore, open_sink, step_and_settle, step_until_read

Mutate = Callable[[pytest.MonkeyPatch], None]
JOBS = 6
LEASE_S = 30.0


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path) as installed:
        yield installed


# ── scenarios ──


def a_worker_dies(made: Installation, broken: pytest.MonkeyPatch) -> None:
    """A worker dies with two of its jobs done, and another takes over."""
    made.submit(JOBS)
    first = TwinWorker(made)
    first.poll()
    first.finish(2)
    first.die()
    second = TwinWorker(made)
    second.poll()
    second.finish(JOBS)
    second.close()
    made.let_a_sink_work()


def a_worker_joins(made: Installation, broken: pytest.MonkeyPatch) -> None:
    """A worker loses half of its partitions to another one while it has jobs of them."""
    made.submit(JOBS)
    first = TwinWorker(made)
    first.poll()
    second = TwinWorker(made)
    for _ in range(5):
        second.poll()
        first.poll()
    second.finish(JOBS)
    first.finish(JOBS)
    second.close()
    first.close()
    made.let_a_sink_work()


def a_step_fails_and_the_sink_stops(made: Installation, broken: pytest.MonkeyPatch) -> None:
    """Postgres is away for one write of the sink, and then the sink is stopped."""
    made.submit(JOBS)
    for request in made.requests():
        made.result(request)
    sink = made.sink()

    def away(*_: Any) -> Any:
        raise Unreachable("Postgres is unreachable.")

    with broken.context() as once:
        once.setattr(BatchWriter, "write", away)
        with pytest.raises(Unreachable):
            step_and_settle(sink)
    sink.settle()
    sink.close()
    made.let_a_sink_work()


def two_workers_answer(made: Installation, broken: pytest.MonkeyPatch) -> None:
    """Two workers answer each job, the second after the sink has stored the first, and differently."""
    made.submit(JOBS, copies=2)
    for request in made.requests():
        made.result(request)
    made.let_a_sink_work()
    for request in made.requests():
        made.result(request, disposition="failed", error=_ERROR)
    made.let_a_sink_work()


def a_sink_dies_before_it_publishes(made: Installation, broken: pytest.MonkeyPatch) -> None:
    """A sink dies between the commit of its outcomes and their publication."""
    made.submit(JOBS)
    for request in made.requests():
        made.result(request)
    sink = made.sink()
    with broken.context() as dying:
        dying.setattr(OutcomePublisher, "publish", _dead)
        with suppress(SystemExit):
            step_until_read(sink)
    sink._unsaved = True  # it is dead: nothing is settled
    sink.close()
    made.let_a_sink_work()


def a_sink_wakes_after_another_took_over(made: Installation, broken: pytest.MonkeyPatch) -> None:
    """A sink is frozen while it stores a batch, another one stores and publishes everything, and then the statement arrives."""
    made.submit(JOBS)
    for request in made.requests():
        made.result(request)
    late: list[tuple[Any, ...]] = []

    def freeze(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "store":
            late.append(arguments)
            raise SystemExit(1)

    store = wiring.sink_store(made.settings)
    frozen = open_sink(made.settings, store=HookedStore(store, before=freeze))
    with suppress(SystemExit):
        step_until_read(frozen)
    frozen._unsaved = True  # it does nothing more
    frozen.close()
    made.let_a_sink_work()
    with suppress(Fenced):
        store.store(*late[0])
    made.let_a_sink_work()


def a_worker_sleeps_through_its_lease(made: Installation, broken: pytest.MonkeyPatch) -> None:
    """A lease expires while its worker is frozen; another worker has the job when the first one says that it failed."""
    made.submit(1, "errand")
    made.let_a_sink_work()
    (request,) = made.requests("errand")
    store = wiring.lease_store(made.settings)
    store.claim("errand", "frozen", 1, 0.0)
    made.fault("worker")
    store.expire(10)
    (second,) = store.claim("errand", "second", 1, LEASE_S)
    made.result(request, disposition="failed", error=_ERROR, execution=1)
    made.let_a_sink_work()
    made.result(request, execution=second.execution)
    store.settle(second.job_id, second.run, second.fence)
    made.let_a_sink_work()


def a_late_worker_releases_its_lease(made: Installation, broken: pytest.MonkeyPatch) -> None:
    """A worker that lost its lease releases it, while another worker holds it; a third one is idle."""
    made.submit(1, "errand")
    made.let_a_sink_work()
    (request,) = made.requests("errand")
    store = wiring.lease_store(made.settings)
    (first,) = store.claim("errand", "first", 1, 0.0)
    store.expire(10)
    running = store.claim("errand", "second", 1, LEASE_S)
    store.release(first.job_id, first.run, first.fence, started=True)
    running += store.claim("errand", "third", 1, LEASE_S)
    for grant in running:
        made.result(request, execution=grant.execution)
    made.let_a_sink_work()


_ERROR = {"code": "PROCESSOR_ERROR", "message": "it broke"}


def _dead(*_: Any) -> Any:
    raise SystemExit(1)


# ── mutants ──


def commits_before_delivery(broken: pytest.MonkeyPatch) -> None:
    broken.setattr(OffsetTracker, "position", lambda tracker: tracker.end)
    broken.setattr(OffsetTracker, "snapshot", lambda tracker: None)


def ignores_a_revoke(broken: pytest.MonkeyPatch) -> None:
    broken.setattr(AssignedPartitions, "_revoked", lambda self, consumer, partitions: None)


def moves_the_position_at_the_poll(broken: pytest.MonkeyPatch) -> None:
    """Settles what was polled, also after a failed step: the sink as it was at first."""
    broken.setattr(Session, "_unsaved", property(lambda self: False, lambda self, value: None), raising=False)


def arbitrates_without_its_key(broken: pytest.MonkeyPatch) -> None:
    wins = MemorySinkStore._wins

    def always(self: Any, row: Any, now: Any) -> bool:
        self._db.outcomes.pop((row.job_id, row.run), None)
        return wins(self, row, now)

    broken.setattr(MemorySinkStore, "_wins", always)


def forgets_the_published_offset(broken: pytest.MonkeyPatch) -> None:
    assign = Positions.assign

    def from_stored(self: Any, key: Any, topic: Any, claimed: Any, *more: Any) -> Any:
        return assign(self, key, topic, claimed._replace(published=claimed.next_offset), *more)

    broken.setattr(Positions, "assign", from_stored)


def ignores_the_epoch(broken: pytest.MonkeyPatch) -> None:
    broken.setattr(MemorySinkStore, "_check_fence", lambda self, offsets: None)


def ignores_the_fence(broken: pytest.MonkeyPatch) -> None:
    broken.setattr(LeaseFence, "supersede_stale", lambda self, events: events)


def leases_without_a_token(broken: pytest.MonkeyPatch) -> None:
    broken.setattr(MemoryLeaseStore, "_held", lambda self, key, fence, *states: self._db.leases.get(key))


MUTANTS: dict[str, tuple[Callable[[Installation, pytest.MonkeyPatch], None], Mutate, str]] = {
    "commits before delivery": (a_worker_dies, commits_before_delivery, "stuck"),
    "ignores a revoke": (a_worker_joins, ignores_a_revoke, "doubled"),
    "moves the position at the poll": (a_step_fails_and_the_sink_stops, moves_the_position_at_the_poll, "unseen"),
    "arbitrates without its key": (two_workers_answer, arbitrates_without_its_key, "doubled"),
    "forgets the published offset": (a_sink_dies_before_it_publishes, forgets_the_published_offset, "unseen"),
    "ignores the epoch": (a_sink_wakes_after_another_took_over, ignores_the_epoch, "doubled"),
    "ignores the fence": (a_worker_sleeps_through_its_lease, ignores_the_fence, "divergent"),
    "leases without a token": (a_late_worker_releases_its_lease, leases_without_a_token, "doubled"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_engine_itself_leaves_nothing_to_find(
    made: Installation, monkeypatch: pytest.MonkeyPatch, mutant: str
) -> None:
    scenario, _, _ = MUTANTS[mutant]
    scenario(made, monkeypatch)
    findings = check(made.evidence())
    assert findings.clean, str(findings)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_turns_the_same_scenario_red(made: Installation, monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    scenario, mutate, column = MUTANTS[mutant]
    with monkeypatch.context() as broken:
        mutate(broken)
        scenario(made, broken)
    findings = check(made.evidence())
    assert findings.counts()[column] > 0, str(findings)
