"""`sluice top`: the same view once, as JSON, and live; the terminal is as it was before."""

from __future__ import annotations

import json
import os
import pty
import sys
import termios
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.dead_letter_store import DeadLetterFilter
from connectors.delivery_admin import DestinationView
from connectors.monitor_store import ProcessorFlow
from schemas.errors import ExitCode, Unreachable
from streams import wiring
from streams.cli.run import run
from streams.cli.service_status import ServiceState
from streams.cli.top import as_text
from streams.cli.top_snapshot import ProcessorLine, TopCollector, TopSnapshot
from streams.testing import Flow

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CIRCUIT = {"state": "open", "since": "…", "reason": "its last 5 jobs failed alike", "opened": 2}
ENGINE = {"processor": "echo", "versions": ["1"], "device": "cuda:0", "in_flight": 3, "published": 17, "child_rss": 2e9}


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flow]:
    with Flow("echo") as made:
        monkeypatch.setattr("streams.settings.load_settings", lambda: made.settings)
        yield made


def snapshot(**changes: Any) -> TopSnapshot:
    made = ProcessorLine("echo", True, {"PENDING": 7}, ProcessorFlow("echo", 60, 50, 5, 12, 900, 3, 40_000), None, None)
    worker = ServiceState("worker echo", True, ready=False, reasons=["it may be broken"], status={"engines": [ENGINE]})
    fields = {"processors": [made], "services": [worker], "destinations": [], "dead_letters": 3, "faults": []}
    return TopSnapshot(**{"at": NOW, "lag_at": NOW, "took_ms": 12.0, **fields, **changes})


def test_the_view_has_processors_workers_services_destinations_and_dead_letters() -> None:
    keeper = ServiceState("timekeeper", True, ready=True, status={"role": "leader"})
    sick = ServiceState("worker x", True, ready=False, status={"engines": [ENGINE | {"circuit": CIRCUIT}]})
    destination = DestinationView("backend:443", "open", None, 9, 1, 8, "503 \x1b[31m")
    text = as_text(snapshot(services=[keeper, sick], destinations=[destination]))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "echo (paused) 7 0 0 60 50 10% 12 ms / 900 ms 3 ms / 40 s no commit -" in lines
    assert "echo worker x 1 cuda:0 3 17 2000 MB open (left 2 times) not ready" in lines
    assert "timekeeper ready role leader" in lines
    assert "backend:443 open 9 1 8 503 \\u001b[31m" in lines
    assert "open dead letters of the last hour: 3" in lines


def test_it_is_printed_once_for_a_pipe_and_for_programs(flow: Flow, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(3):
        flow.submit("echo", {"message": "x", **({"fail": "INVALID_INPUT"} if n == 0 else {})})
    flow.settle()
    flow.submit("echo", {"message": "x"})
    flow.settle(worker=False)
    assert run(["top"]) == ExitCode.OK
    assert "Processors, last minute" in capsys.readouterr().out
    assert run(["top", "--json"]) == ExitCode.OK
    shown = json.loads(capsys.readouterr().out)
    [echo] = [each for each in shown["processors"] if each["name"] == "echo"]
    assert (echo["jobs"], echo["flow"]["requested"], echo["flow"]["ended"]) == ({"PENDING": 1}, 4, 3)
    assert (echo["flow"]["failed"], shown["dead_letters"]) == (1, 0)


def test_a_source_that_is_away_is_named_and_the_others_are_shown(
    flow: Flow, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise Unreachable("Postgres did not answer.")

    monkeypatch.setattr("streams.cli.top_snapshot.TopCollector._read_store", away)
    assert run(["top", "--once"]) == ExitCode.PARTIAL
    printed = capsys.readouterr().out
    assert "Postgres: Postgres did not answer." in printed
    assert "open dead letters of the last hour: ?" in printed


def test_a_dead_letter_that_was_dropped_is_counted_no_more(flow: Flow) -> None:
    producer = flow.log.producer()
    producer.produce("requests.echo", b"no avro", b"key")
    producer.flush()
    flow.settle()
    with TopCollector(flow.settings) as collector:
        assert collector.snapshot().dead_letters == 1
        with wiring.dead_letter_store(flow.settings) as letters:
            assert letters.drop(DeadLetterFilter(), "me", "nothing to do") == 1
        assert collector.snapshot().dead_letters == 0


def test_the_log_is_asked_less_often_than_the_store(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def count(*_: object) -> list[object]:
        asked.append(1)
        return []

    monkeypatch.setattr("streams.cli.top_snapshot.lags", count)
    with TopCollector(flow.settings) as collector:
        assert [collector.snapshot().dead_letters for _ in range(3)] == [0, 0, 0]
    assert len(asked) == 1


def test_q_ends_the_live_view_and_the_terminal_is_as_before(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    printed = bytearray()

    def type_q_once_it_is_shown() -> None:
        while b"Processors" not in printed:
            printed.extend(os.read(master, 65_536))
        os.write(master, b"q")
        while b"\x1b[?1049l" not in printed:
            printed.extend(os.read(master, 65_536))

    person = threading.Thread(target=type_q_once_it_is_shown)
    with open(slave, closefd=False) as stdin, open(slave, "w", closefd=False) as stdout:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stdout", stdout)
        person.start()
        assert run(["top"]) == ExitCode.OK
        person.join(30)
    assert not person.is_alive()
    assert b"\x1b[?1049h" in printed  # the alternate screen
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)
