"""A loop of a worker that ends by itself: it is named, and ends the worker."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.errors import LoopDied, Unreachable
from schemas.topics import TopicNames
from streams import logs
from streams.health.loop_threads import LoopThreads
from streams.settings import Settings
from streams.worker.in_flight import InFlightJobs
from streams.worker.lease_source.claimer import Claimer
from streams.worker.lease_source.held import HeldLeases
from streams.worker.lease_source.keeper import LeaseKeeper
from streams.worker.protocol import ChildConfig, MessageKind
from streams.worker.publisher import Publisher
from streams.worker.supervision.process import ChildProcess
from streams.worker.worker import Worker
from tests.harness.waiting import wait_until


class Broken:
    """Stands in for a client or a store with a bug: every call raises what no loop expects."""

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*_: Any, **__: Any) -> Any:
            raise RuntimeError(name)

        return call


BROKEN: Any = Broken()


def publisher(threads: LoopThreads) -> None:
    Publisher(BROKEN, InFlightJobs(), TopicNames(""), "echo", "w1", BROKEN, threads).start()


def claimer(threads: LoopThreads) -> None:
    made = Claimer(BROKEN.claim, BROKEN.close, "echo", threads)
    made.start()
    made.ask(1)


def keeper(threads: LoopThreads) -> None:
    made = LeaseKeeper(BROKEN, HeldLeases(), "w1", "echo", 0.1, threads)
    made._released.append((BROKEN, False))
    made.start()
    made._wake.set()


class Listener:
    """Fails at the child's first message."""

    def handle(self, child: ChildProcess, kind: MessageKind, body: bytes) -> None:
        raise RuntimeError(kind)

    def ended(self, child: ChildProcess) -> None:
        raise RuntimeError("ended")


def reader(threads: LoopThreads) -> None:
    child = ChildProcess(ChildConfig("nothing", "w1", "cpu", "", {}, [], {}), Listener(), threads)
    child.stop(0.0)


@pytest.mark.parametrize(
    ("start", "name"),
    [(publisher, "deliver-echo"), (claimer, "claim-echo"), (keeper, "keeper-echo"), (reader, "read-nothing")],
)
def test_a_loop_that_dies_is_named_and_stops_the_worker(start: Callable[[LoopThreads], None], name: str) -> None:
    threads, stop = LoopThreads("worker", logs.get("test")), threading.Event()
    threads.run_until(stop)
    start(threads)
    assert stop.wait(20)
    (reason,) = threads.dead
    assert reason == f"the {name} loop has ended (RuntimeError); its error is in the log"


def made(tmp_path: Path) -> Worker:
    address = f"memory:{uuid.uuid4().hex}"
    return Worker(Settings(home=tmp_path, kafka_bootstrap_servers=address, schema_registry_url=address), ["echo"])


def test_a_worker_with_a_dead_loop_is_not_alive_and_ends_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = made(tmp_path)
    monkeypatch.setattr(worker, "_configs", lambda *_: [])
    worker._threads.died("control", RuntimeError())
    with pytest.raises(LoopDied, match="control"):
        worker.run(threading.Event())
    assert not worker.health(ask=False).alive


def test_a_worker_waits_for_its_dependencies_at_the_start_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, stop, asked = made(tmp_path), threading.Event(), threading.Event()

    def away(*_: Any) -> Any:
        asked.set()
        raise Unreachable("The registry does not answer.")

    monkeypatch.setattr(worker, "_config", away)
    clock = SimpleNamespace(monotonic=iter(range(0, 10**9, 10**6)).__next__)
    monkeypatch.setattr("streams.log.reconnect.time", clock)  # a million seconds pass between two looks
    ended: list[int] = []
    thread = threading.Thread(target=lambda: ended.append(worker.run(stop)))
    thread.start()
    assert asked.wait(20)
    wait_until(lambda: bool(worker.health(ask=False).reasons[0].count("registry")), lambda: str(worker.health()))
    assert worker.health(ask=False).alive
    stop.set()
    thread.join(20)
    assert ended == [0], "however long it has waited, it only stops when it is asked to"
