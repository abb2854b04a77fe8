"""The machine finds what it is there for: faults planted in the services turn a run red."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from connectors.memory import MemorySinkStore
from streams.health.loop_threads import LoopThreads
from streams.sink.outcomes import OutcomePublisher
from streams.sink.session import Session
from streams.worker.kafka_source import assigned_partitions
from streams.worker.kafka_source.assignment import Assignment
from tests.injection.cases import run_case
from tests.injection.injector import CallSite, Fault, Kind

pytestmark = pytest.mark.usefixtures("simulation")


@cache
def calls() -> dict[CallSite, int]:
    """Return how often each call is made in a run of the services as they are."""
    return run_case().calls


def finds(wanted: set[str], service: str, method: str, kind: Kind, *, after: bool = False) -> bool:
    """Strike each site of a service that calls this method, at the first and a later call, until a finding of a wanted kind."""
    sites = [site for site in sorted(calls()) if (site.service, site.method) == (service, method)]
    assert sites
    plans = [Fault(site, nth, after, kind) for site in sites for nth in sorted({1, (calls()[site] + 1) // 2})]
    return any(
        finding.partition(":")[0] in wanted for plan in plans for finding in run_case(plan, horizon_s=60.0).findings
    )


def test_a_position_that_moves_at_the_poll_loses_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that settles after a failed step stores offsets behind records that it has read and not stored."""
    calls()
    monkeypatch.setattr(Session, "_unsaved", property(lambda self: False, lambda self, value: None), raising=False)
    assert finds({"lost", "stuck"}, "sink", "store", Kind.BUG)


def test_a_commit_before_the_delivery_loses_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    calls()
    admit = Assignment.admit

    def done_at_once(self: Assignment, job: Any) -> bool:
        admitted = admit(self, job)
        self.tracker.done(job.offset)
        return admitted

    monkeypatch.setattr(Assignment, "admit", done_at_once)
    monkeypatch.setattr(Assignment, "finished", lambda self, job: None)
    assert finds({"lost", "stuck"}, "worker", "produce", Kind.KILL)


def test_a_swallowed_exception_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    calls()
    monkeypatch.setattr(assigned_partitions.log, "warning", lambda *_, **__: None, raising=False)
    assert finds({"silent"}, "worker", "commit", Kind.FAILED)


def test_an_outcome_that_counts_as_published_although_its_delivery_failed_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls()

    def confirmed(self: OutcomePublisher, batch: Any, outcome: Any, error: Any) -> None:
        batch.unconfirmed -= 1

    monkeypatch.setattr(OutcomePublisher, "_on_refused", confirmed)
    assert finds({"lost"}, "sink", "delivery_report", Kind.TIMEOUT)


def test_an_arbiter_that_lets_every_result_win_doubles_outcomes(monkeypatch: pytest.MonkeyPatch) -> None:
    calls()
    wins = MemorySinkStore._wins

    def always(self: MemorySinkStore, row: Any, now: Any) -> bool:
        self._db.outcomes.pop((row.job_id, row.run), None)
        return wins(self, row, now)

    monkeypatch.setattr(MemorySinkStore, "_wins", always)
    assert finds({"doubled", "divergent"}, "worker", "commit", Kind.KILL)


def test_a_thread_that_dies_without_a_word_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    calls()
    monkeypatch.setattr(LoopThreads, "died", lambda self, name, error: None)
    assert finds({"silent"}, "worker", "poll", Kind.BUG)
