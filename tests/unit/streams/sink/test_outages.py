"""A dependency is away longer than any wait in place: the sink says so, resumes by itself and loses nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.cimpl import NewTopic
from structlog.testing import capture_logs

from connectors.memory import MemorySinkStore
from schemas.errors import LoopDied, SluiceError, Unreachable
from schemas.registry import MemoryRegistry
from streams.log import kafka
from streams.log.memory import MemoryLog
from streams.settings import Settings
from streams.sink import sink as sink_module
from streams.sink import waiting
from streams.sink.session import Session
from streams.sink.sink import Sink
from streams.sink.topic_follower import TopicFollower
from tests.harness.sink_kit import (
    job,
    open_sink,
    outcomes,
    result_bytes,
    states,
    step_and_settle,
    twin_settings,
    write,
    write_results,
)
from tests.harness.waiting import in_thread, wait_until

#: A third of this is the longest wait in place.
MAX_POLL_MS = 60


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setattr(sink_module, "RESTART_S", 0.01)
    monkeypatch.setattr(waiting, "RETRY_S", 0.01)
    with twin_settings(tmp_path, waits=True) as made:
        yield made.model_copy(update={"kafka_config": {"max.poll.interval.ms": MAX_POLL_MS}})


class Dependency:
    """Raises Unreachable from the methods it guards, while it is away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, part: Any, *methods: str) -> None:
        self.away = threading.Event()
        self.asked = 0
        for method in methods:
            monkeypatch.setattr(part, method, self._guarded(getattr(part, method)))

    def _guarded(self, method: Any) -> Any:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.away.is_set():
                self.asked += 1
                raise Unreachable("It is away.")
            return method(*args, **kwargs)

        return guarded


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Dependency:
    return Dependency(monkeypatch, MemorySinkStore, "store", "claim", "learn_topics", "winners", "mark_progress")


def members(settings: Settings) -> int:
    log = MemoryLog.at(settings.bootstrap)
    assert log is not None
    return len(log.group("sink").members)


def until(condition: Any) -> None:
    wait_until(condition, lambda: "it did not happen")


@contextmanager
def running(settings: Settings) -> Iterator[Sink]:
    sink = Sink(settings, notify=False)
    with in_thread(sink.run):
        yield sink


def test_a_store_that_is_away_while_the_sink_works(settings: Settings, store: Dependency) -> None:
    with running(settings) as sink:
        until(lambda: sink.health(ask=False).ready)
        store.away.set()
        values = write_results(settings, [job() for _ in range(20)])
        until(lambda: members(settings) == 0)
        until(lambda: "It is away." in sink.health(ask=False).reasons)
        assert sink.health(ask=False).alive
        store.away.clear()
        until(lambda: set(outcomes(settings)) == set(values))
        until(lambda: sink.health(ask=False).ready)
    assert states(settings) == {"COMPLETED": 20}


def test_a_store_that_is_away_while_the_sink_starts(settings: Settings, store: Dependency) -> None:
    store.away.set()
    values = write_results(settings, [job() for _ in range(5)])
    with running(settings) as sink:
        until(lambda: store.asked > 3)
        assert "It is away." in sink.health(ask=False).reasons
        assert members(settings) == 0
        store.away.clear()
        until(lambda: sorted(outcomes(settings)) == sorted(values))


def test_a_sink_that_is_stopped_while_the_store_is_away_loses_nothing(settings: Settings, store: Dependency) -> None:
    with running(settings) as sink:
        until(lambda: sink.health(ask=False).ready)
        store.away.set()
        values = write_results(settings, [job() for _ in range(20)])
        until(lambda: store.asked)
    store.away.clear()
    session = open_sink(settings)
    step_and_settle(session)
    session.close()
    assert sorted(set(outcomes(settings))) == sorted(values)


def test_a_log_that_is_away_while_topics_are_listed_does_not_end_the_session(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "TOPICS_S", 0.0)
    listing = Dependency(monkeypatch, sink_module, "read_topics")
    with running(settings) as sink:
        until(lambda: sink.health(ask=False).ready)
        session = sink._session
        listing.away.set()
        until(lambda: listing.asked > 2)
        assert sink._session is session
        listing.away.clear()


def test_a_log_that_is_away_while_the_sink_starts(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = Dependency(monkeypatch, sink_module, "read_topics")
    listing.away.set()
    with running(settings) as sink:
        until(lambda: listing.asked > 2)
        assert "It is away." in sink.health(ask=False).reasons
        listing.away.clear()
        until(lambda: sink.health(ask=False).ready)


def test_records_that_wait_for_the_registry_are_named_in_health(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Dependency(monkeypatch, MemoryRegistry, "schema_by_id")
    value = result_bytes(settings, job())
    with running(settings) as sink:
        until(lambda: sink.health(ask=False).ready)
        registry.away.set()
        write(settings, settings.topics.results("echo"), value)
        until(lambda: "1 records wait for the schema registry" in sink.health(ask=False).reasons)
        registry.away.clear()
        until(lambda: outcomes(settings) == [value])
        until(lambda: sink.health(ask=False).ready)


def test_a_topic_made_again_is_named(settings: Settings) -> None:
    sink = Sink(settings, notify=False)
    topic, admin = settings.topics.results("echo"), kafka.admin(settings)
    with capture_logs() as lines, in_thread(sink.run):
        until(lambda: sink.health(ask=False).ready)
        write_results(settings, [job() for _ in range(3)], partition=0)
        until(lambda: len(outcomes(settings)) == 3)
        admin.delete_topics([topic])[topic].result()
        admin.create_topics([NewTopic(topic, 2, 1)])[topic].result()
        write_results(settings, [job()], partition=0)
        until(lambda: len(outcomes(settings)) == 4)
    assert [line["topic"] for line in lines if line["event"] == "topic_made_again"] == [topic]
    assert sink.health(ask=False).details["topics_made_again"] == 1


def test_a_loop_that_dies_ends_the_sink_loudly(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(self: object) -> None:
        raise SystemError("nothing catches this")

    monkeypatch.setattr(TopicFollower, "_run", dies)
    sink = Sink(settings, notify=False)
    with pytest.raises(LoopDied):
        sink.run(threading.Event())
    assert not sink.health(ask=False).alive
    assert any("progress loop has ended" in reason for reason in sink.health(ask=False).reasons)


def test_an_error_of_kafka_that_is_no_outage_ends_only_the_session(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example a member that was expelled because it had not polled."""
    expelled = [SluiceError("Application maximum poll interval exceeded")]
    original = Session._poll

    def poll(self: Session) -> Any:
        if expelled:
            raise expelled.pop()
        return original(self)

    monkeypatch.setattr(Session, "_poll", poll)
    values = write_results(settings, [job()])
    with running(settings):
        until(lambda: outcomes(settings) == values)
