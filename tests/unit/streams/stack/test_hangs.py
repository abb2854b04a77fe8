"""A process that runs but does not answer counts as hung after a while."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streams import logs
from streams.health.loop_threads import LoopThreads
from streams.health.report import Health
from streams.health.server import HealthServer
from streams.health.service_files import register
from streams.stack import COMPONENTS, LocalStack
from streams.stack.hangs import COMPONENT_S, SERVICE_S, STARTUP_S, HangWatch
from streams.stack.process import ProcessId
from streams.stack.process_records import ProcessRecord, ProcessRecords
from streams.stack.services import SUPERVISOR


class Watched:
    """This process, recorded as a service, and its watch with a clock of the test."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.now = 0.0
        self.process = ProcessId(os.getpid(), "now")
        self.alive = True
        self.watch = HangWatch(LocalStack(home), home, SUPERVISOR, lambda: self.now)

    def record(self, name: str, **facts: str) -> None:
        record = ProcessRecord(name, self.process, datetime.now(UTC), self.home / "log", facts, signal.SIGTERM, 1.0)
        ProcessRecords(self.home / "run").write(record)

    def ask(self, seconds: float = 0.0) -> str | None:
        self.now += seconds
        self.watch.ask()
        return self.watch.hung(self.process)

    def health(self, ask: bool) -> Health:
        return Health(self.alive, False, () if self.alive else ("the commits loop has ended",))


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    made = Watched(tmp_path)
    made.record("sink")
    return made


@pytest.fixture
def served(watched: Watched) -> Iterator[HealthServer]:
    server = HealthServer("127.0.0.1:0", watched.health, {}, LoopThreads("sink", logs.get("sink")))
    with register(watched.home, "sink", server.url):
        yield server
    server.close()


@pytest.mark.usefixtures("served")
def test_a_service_that_waits_for_a_dependency_does_not_hang(watched: Watched) -> None:
    assert (watched.ask(), watched.ask(10 * SERVICE_S)) == (None, None)


@pytest.mark.usefixtures("served")
def test_a_service_with_a_dead_loop_counts_as_hung_unless_it_ends_by_itself(watched: Watched) -> None:
    watched.alive = False
    assert (watched.ask(), watched.ask(SERVICE_S - 1)) == (None, None)
    assert watched.ask(1) == "has not been alive (the commits loop has ended) for 30 s"
    watched.alive = True
    assert watched.ask() is None


def test_a_dead_health_server_is_noticed(watched: Watched, served: HealthServer) -> None:
    assert watched.ask() is None
    served._server.server_close()
    watched.ask()
    assert "has not answered /livez" in (watched.ask(SERVICE_S) or "")


def test_a_service_that_never_opens_its_health_server_hangs(watched: Watched) -> None:
    assert (watched.ask(), watched.ask(STARTUP_S - 1)) == (None, None)
    assert "has not opened its health server" in (watched.ask(1) or "")


def test_a_service_without_a_health_address_is_not_asked(watched: Watched) -> None:
    with register(watched.home, "sink", ""):
        assert (watched.ask(), watched.ask(10 * STARTUP_S)) == (None, None)


def test_the_supervisor_does_not_ask_itself(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.record(SUPERVISOR)
    assert (watched.ask(), watched.ask(10 * STARTUP_S)) == (None, None)


@pytest.mark.parametrize("name", ["postgres", "registry"])
def test_a_component_that_does_not_answer_hangs_after_a_longer_while(tmp_path: Path, name: str) -> None:
    watched = Watched(tmp_path)
    watched.record(name, address="http://127.0.0.1:1/apis")
    assert not COMPONENTS[name].answers("http://127.0.0.1:1/apis")
    assert (watched.ask(), watched.ask(COMPONENT_S - 1)) == (None, None)
    assert "has not answered" in (watched.ask(1) or "")
