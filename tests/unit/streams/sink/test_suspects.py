"""A record that makes every session fail is found and set aside; a failure that passes sets nothing aside."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import pytest

from connectors.memory import MemorySinkStore
from schemas.errors import Unreachable
from schemas.headers import DL_REASON
from streams.settings import Settings
from streams.sink.outcomes import OutcomePublisher, OutcomeRecord
from streams.sink.session import Session
from streams.sink.sink import Sink
from streams.sink.suspects import Suspects
from tests.harness.sink_kit import job, open_sink, outcomes, records, states, step_and_settle, write_results


def sessions_until_done(settings: Settings, suspects: Suspects, most: int = 60) -> int:
    """Run sessions as the sink does until one does not fail; return how many failed."""
    for failed in range(most):
        session = open_sink(settings, suspects=suspects)
        try:
            with closing(session):
                step_and_settle(session)
        except RuntimeError:
            suspects.failed()
        else:
            return failed
    raise AssertionError(f"{most} sessions failed")


def test_a_record_that_ends_every_session_is_set_aside_and_all_others_are_stored(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [job() for _ in range(40)]
    values = write_results(settings, jobs)
    bad = jobs[17]
    original = OutcomePublisher.publish

    def publish(self: OutcomePublisher, found: Iterable[OutcomeRecord], upto: Any) -> None:
        found = list(found)
        if any(bad.job_id.encode() in one.key and one.value == values[17] for one in found):
            raise RuntimeError("nothing foresees this")
        original(self, found, upto)

    monkeypatch.setattr(OutcomePublisher, "publish", publish)
    store = MemorySinkStore.store

    def refuse(self: MemorySinkStore, runs: Any, *more: Any) -> Any:
        if any(row.job_id.hex() == bad.job_id.replace("-", "") and row.status == "COMPLETED" for row in runs):
            raise RuntimeError("nothing foresees this")
        return store(self, runs, *more)

    monkeypatch.setattr(MemorySinkStore, "store", refuse)
    failed = sessions_until_done(settings, Suspects())
    assert 3 <= failed < 25
    assert states(settings) == {"COMPLETED": 39, "FAILED": 1}
    [letter] = records(settings, settings.topics.dead_letters)
    assert (letter.value(), dict(letter.headers() or ())[DL_REASON]) == (values[17], b"UNDECODABLE")
    assert len(set(outcomes(settings))) == 40


def test_a_failure_that_passes_sets_nothing_aside_and_batches_grow_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = write_results(settings, [job() for _ in range(10)])
    suspects = Suspects()
    failures = [RuntimeError("once"), RuntimeError("twice")]

    def write(*args: Any) -> Any:
        if failures and args[1]:
            raise failures.pop()
        return original(*args)

    original = Session._write
    monkeypatch.setattr(Session, "_write", write)
    assert sessions_until_done(settings, suspects) == 2
    write_results(settings, [job() for _ in range(1100)])
    assert sessions_until_done(settings, suspects) == 0
    assert not suspects.searching
    assert set(values) < set(outcomes(settings))
    assert states(settings) == {"COMPLETED": 1110}
    assert records(settings, settings.topics.dead_letters) == []


@pytest.mark.parametrize("error", [RuntimeError("a bug"), Unreachable("away"), KeyError("x")], ids=type)
def test_a_sink_goes_on_after_any_error_of_a_session_and_closes_all_its_parts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("streams.sink.sink.RESTART_S", 0.0)
    values = write_results(settings, [job() for _ in range(5)])
    stop = threading.Event()
    closed: list[str] = []
    errors = [error]
    step = Session.step

    def failing_step(self: Session) -> None:
        if errors:
            raise errors.pop()
        step(self)
        if sorted(outcomes(settings)) == sorted(values):
            stop.set()

    def failing_close(self: Session) -> None:
        closed.append("session")
        close(self)
        raise ValueError("close fails")

    close = Session.close
    monkeypatch.setattr(Session, "step", failing_step)
    monkeypatch.setattr(Session, "close", failing_close)
    monkeypatch.setattr(MemorySinkStore, "close", lambda self: closed.append("store"))
    sink = Sink(settings, notify=False)
    sink.run(stop)
    assert sorted(outcomes(settings)) == sorted(values)
    assert closed.count("session") == 2
    assert closed.count("store") >= 2
