"""A job that takes its device down: the process is replaced, the job fails by name, and no other job notices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import Mock

import pytest

from streams.worker.protocol import ChildConfig, MessageKind
from streams.worker.supervision import supervisor
from tests.harness.processors.killer import installed
from tests.harness.supervisor_driver import Driver, driving

FRAGILE = "tests.harness.processors.fragile"


def run_four_hundred(driver: Driver) -> None:
    before = driver.send(*["a"] * 100)
    (culprit,) = driver.send("assert")
    after = driver.send(*["b"] * 99)
    driver.until_answered(*before, culprit, *after)
    later = driver.send(*["c"] * 200)
    driver.until_answered(*later)
    assert driver.ending(culprit) == ("failed", "DEVICE_FAULT", 2)
    assert {driver.ending(job)[:2] for job in (*before, *after, *later)} == {("succeeded", None)}
    assert {job.crashes for job in (*before, *after)} == {0}, "a device fault costs no crash"
    assert {driver.ending(job)[2] for job in later} == {1}
    assert driver.supervisor.restarts == 2, "one process for the isolation, one after it"


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Driver]]:
    with ExitStack() as stack:

        def start(processor: str) -> Driver:
            monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", processor, FRAGILE))
            return stack.enter_context(driving(tmp_path, device="fake:0"))

        yield start


@pytest.mark.parametrize("processor", ["Fragile", "FragileWithThreads"])
def test_of_two_hundred_jobs_one_fails_by_name_and_the_next_two_hundred_complete(
    processor: str, drive: Callable[[str], Driver]
) -> None:
    run_four_hundred(drive(processor))


@pytest.mark.gpu
@pytest.mark.parametrize("processor", ["Asserting", "AssertingWithThreads"])
def test_a_real_assert_on_a_gpu_fails_one_job(processor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", processor, FRAGILE))
    with driving(tmp_path, device="auto") as driver:
        run_four_hundred(driver)
        assert driver.supervisor.about["device"] == "cuda:0"


@pytest.mark.parametrize(
    ("word", "processor"),
    [
        ("late", "Fragile"),
        ("silent", "Fragile"),
        ("caught", "FragileWithThreads"),
        ("finish", "FragileWithThreads"),
    ],
)
def test_a_fault_is_seen_wherever_it_shows(drive: Callable[[str], Driver], word: str, processor: str) -> None:
    driver = drive(processor)
    culprit, *others = driver.send(word, *"abc")
    driver.until_answered(culprit, *others)
    after = driver.send(*"def")
    driver.until_answered(*after)
    assert driver.ending(culprit)[:2] == ("failed", "DEVICE_FAULT")
    assert {driver.ending(job)[:2] for job in (*others, *after)} == {("succeeded", None)}


def test_an_error_that_leaves_the_device_alone_costs_no_process(drive: Callable[[str], Driver]) -> None:
    driver = drive("Fragile")
    value, bad, *others = driver.send("value", "bad", *"abc")
    driver.until_answered(value, bad, *others)
    assert driver.ending(value) == ("failed", "PROCESSOR_ERROR", 1)
    assert driver.ending(bad) == ("failed", "INVALID_INPUT", 1)
    assert {driver.ending(job) for job in others} == {("succeeded", None, 1)}
    assert driver.supervisor.restarts == 0


def test_the_successor_gets_the_device_that_its_predecessor_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[ChildConfig] = []

    def start(config: ChildConfig, *_: object) -> Mock:
        started.append(config)
        return Mock()

    monkeypatch.setattr(supervisor, "ChildProcess", start)
    driver = Driver(tmp_path, device="auto")
    driver.supervisor.start(lambda: True)
    ready = {"device": "cuda:0", "recycle_jobs": None, "recycle_mib": None}
    driver.supervisor._messages.handle(Mock(resident=1), MessageKind.READY, json.dumps(ready).encode())
    driver.supervisor.start(lambda: True)
    assert [config.device for config in started] == ["auto", "cuda:0"], "auto could choose the CPU now"
