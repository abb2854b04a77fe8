"""A worker whose every job fails leaves the queue to others, and comes back. Real engines and children, on the memory log."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from schemas.contract import contract
from schemas.contract import installed as contract_installed
from schemas.headers import DISPOSITION, JOB
from schemas.records import EchoInput
from streams.admin import topics
from streams.client.submitter import Submitter
from streams.log.memory import MemoryLog
from streams.settings import Settings
from streams.testing.services import Services
from streams.worker import circuit, worker
from streams.worker.worker import Worker
from tests.harness import packages
from tests.harness.processors.killer import KILLER, installed
from tests.harness.processors.leased import LEASED
from tests.harness.waiting import wait_until

HEALTHY, BROKEN = "fake:0", "fake:1"
UNSTEADY, FRAGILE = "tests.harness.processors.unsteady", "tests.harness.processors.fragile"


class Installation:
    """Workers of one processor, each in a thread with a child of its own."""

    def __init__(self, folder: Path, stack: ExitStack, processor: str = "killer") -> None:
        address = f"memory:{uuid.uuid4().hex}"
        self.settings = Settings(
            home=folder,
            kafka_bootstrap_servers=address,
            schema_registry_url=address,
            database_url=SecretStr(address),
            partitions=6,
            drain_s=2.0,
        )
        self._processor = processor
        topics.apply(self.settings, [contract(processor)])
        log = MemoryLog.at(address)
        assert log is not None
        self._log = log
        self._stack = stack
        self._stop = threading.Event()
        stack.callback(MemoryLog.forget, address.partition(":")[2])

    def start(self, *devices: str) -> list[Worker]:
        """Start a worker on each of these devices, and wait until all have partitions."""
        workers = [Worker(self.settings, [self._processor], worker_id=device, device=device) for device in devices]
        for each in workers:
            thread = threading.Thread(target=each.run, args=(self._stop,))
            thread.start()
            self._stack.callback(thread.join, 20)
        self._stack.callback(self._stop.set)
        wait_until(
            lambda: all(each.health().ready for each in workers), lambda: str([each.health() for each in workers])
        )
        return workers

    def submit(self, *messages: str) -> None:
        with Submitter(self.settings) as submitter:
            for message in messages:
                submitter.submit(self._processor, EchoInput(message))

    def let_the_sink_read(self) -> None:
        """Let the sink store what is submitted, so that it can be claimed by lease."""
        services = Services(self.settings, threading.Event())
        services.settle(lambda: self._log.appended)
        services.close()

    def results(self) -> Counter[str]:
        """Return how many results there are, by disposition; no job may have two."""
        found: list[dict[str, Any]] = [
            dict(record.headers() or ()) for record in self._log.records(self.settings.topics.results(self._processor))
        ]
        jobs = [fields[JOB] for fields in found]
        assert len(set(jobs)) == len(jobs)
        return Counter(fields[DISPOSITION].decode() for fields in found)

    def until_answered(self, count: int) -> Counter[str]:
        wait_until(lambda: self.results().total() >= count, lambda: f"{self.results()} of {count}")
        return self.results()


def circuit_of(one: Worker) -> dict[str, Any]:
    (engine,) = one.status()["engines"]
    found: dict[str, Any] = engine["circuit"]
    return found


def until_it_leaves(one: Worker) -> None:
    wait_until(lambda: circuit_of(one)["state"] == "open", lambda: str(one.status()))


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    monkeypatch.setattr(worker, "_quiet_the_collector", lambda: None)
    monkeypatch.setattr(circuit, "SHORTEST_PAUSE_S", 0.2)
    monkeypatch.setenv("SLUICE_TEST_GATE", str(tmp_path / "gate"))
    monkeypatch.setenv("SLUICE_TEST_BROKEN", str(tmp_path / "broken"))
    with ExitStack() as stack:
        stack.enter_context(contract_installed(KILLER, LEASED))
        yield stack


@pytest.fixture
def installation(tmp_path: Path, stack: ExitStack) -> Installation:
    return Installation(tmp_path, stack)


def install(processor: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", processor, module))


def test_beside_a_healthy_worker_a_broken_one_fails_less_than_one_job_in_a_hundred(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("Unsteady", UNSTEADY, tmp_path, monkeypatch)
    _, broken = installation.start(HEALTHY, BROKEN)
    installation.submit(*["x"] * 1000)
    results = installation.until_answered(1000)
    assert results["succeeded"] >= 990, results
    assert circuit_of(broken)["opened"] >= 1
    assert results["failed"] >= circuit.ALIKE - 1, "it had its share of the jobs"


def test_a_worker_that_breaks_leaves_its_group_and_comes_back_when_it_works(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("UnsteadyUntil", UNSTEADY, tmp_path, monkeypatch)
    gate = tmp_path / "gate"
    gate.touch()
    (one,) = installation.start(BROKEN)
    installation.submit("good")
    installation.until_answered(1)
    gate.unlink()
    installation.submit(*["x"] * 50)
    until_it_leaves(one)
    assert "PROCESSOR_ERROR RuntimeError" in str(one.health().reasons)
    assert not one.health().ready
    gate.touch()
    results = installation.until_answered(51)
    assert results == {"succeeded": 51 - (circuit.ALIKE - 1), "failed": circuit.ALIKE - 1}
    assert circuit_of(one)["state"] == "closed"


def test_a_flood_of_bad_jobs_does_not_stop_a_healthy_worker(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("Unsteady", UNSTEADY, tmp_path, monkeypatch)
    (one,) = installation.start(HEALTHY)
    installation.submit("good")
    installation.until_answered(1)
    installation.submit(*["bad"] * 100, *["good"] * 10)
    assert installation.until_answered(111) == {"succeeded": 11, "failed": 100}
    assert circuit_of(one)["opened"] == 0


def test_a_worker_that_is_alone_and_has_no_test_goes_on_with_few_jobs_at_a_time(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("Unsteady", UNSTEADY, tmp_path, monkeypatch)
    (one,) = installation.start(HEALTHY)
    installation.submit(*["bad"] * 22)
    assert installation.until_answered(22) == {"failed": 22}
    assert circuit_of(one)["opened"] >= 1
    installation.submit("good")
    assert installation.until_answered(23) == {"failed": 22, "succeeded": 1}
    assert circuit_of(one)["state"] == "closed"


def test_a_device_that_fails_in_a_new_process_too_costs_no_job(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("Fragile", FRAGILE, tmp_path, monkeypatch)
    (one,) = installation.start(HEALTHY)
    (tmp_path / "broken").touch()
    installation.submit(*"abcdef")
    until_it_leaves(one)
    assert "device-side assert" in str(one.health().reasons)
    (tmp_path / "broken").unlink()
    assert installation.until_answered(6) == {"succeeded": 6}


def test_leased_jobs_pay_for_a_fault_no_more_than_those_of_a_group(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packages.install(
        tmp_path / "site",
        "leased",
        "tests.harness.processors.leased:LEASED",
        {"leased": f"{FRAGILE}:LeasedFragile"},
    )
    monkeypatch.setenv("PYTHONPATH", path)
    installation = Installation(tmp_path, stack, "leased")
    installation.submit(*"abc", "assert", *"def")
    installation.let_the_sink_read()
    (one,) = installation.start(HEALTHY)
    assert installation.until_answered(7) == {"succeeded": 6, "failed": 1}
    (tmp_path / "broken").touch()
    installation.submit(*"ghi")
    installation.let_the_sink_read()
    until_it_leaves(one)
    (tmp_path / "broken").unlink()
    assert installation.until_answered(10) == {"succeeded": 9, "failed": 1}
