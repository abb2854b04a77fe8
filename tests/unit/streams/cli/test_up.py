"""`sluice up`: how many processes of a service there are, and which of an earlier `up` are too many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.cli.down import down
from streams.cli.stack_events import EventPrinter
from streams.cli.up import counts_text, stop_surplus
from streams.settings import Settings
from streams.stack import LocalStack, ServiceSpec
from streams.stack.services import services


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LocalStack]:
    """Yield a stack with three sinks and two workers, which are processes that only wait."""
    made = LocalStack(tmp_path)
    names = ("sink", "sink.2", "sink.3", "worker-echo", "worker-echo.2")
    made.run([ServiceSpec(name=name, argv=("sleep", "60"), log=made.log(name), env={}) for name in names])
    try:
        yield made
    finally:
        made.down()


def running(stack: LocalStack) -> list[str]:
    return sorted(each.name for each in stack.status().services if each.running)


def test_sinks_of_an_earlier_up_that_are_too_many_are_stopped(stack: LocalStack, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, processors=("echo",), sinks=2, light_workers=1)
    sinks = [each for each in services(settings, stack, {}) if each.name.startswith("sink")]
    with EventPrinter(verbose=False) as events:
        stop_surplus(settings, stack, sinks, events)
    assert running(stack) == ["sink", "sink.2", "worker-echo", "worker-echo.2"]


def test_down_with_a_service_stops_all_of_its_kind(
    stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path))
    assert down(only=("sink", "worker-echo.2")) == 0
    assert running(stack) == ["worker-echo"]


def test_up_says_how_many_there_are_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.stack.counts.usable_cores", lambda: 6)
    monkeypatch.setattr("streams.stack.services.usable_cores", lambda: 6)
    assert counts_text(Settings(home=tmp_path)).startswith("sinks: 2, workers of each light processor: 1 (6 cores;")
    assert counts_text(Settings(home=tmp_path, sinks=3, light_workers=4)).endswith("processor: 4 (as set)")
