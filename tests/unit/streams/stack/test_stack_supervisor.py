"""The supervisor of the stack starts again what died, and only that; with real, small processes and a clock of the test."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from streams import logs
from streams.stack import LocalStack, Restarts, ServiceSpec, process
from streams.stack.events import StackEvent
from streams.stack.process import ProcessId
from streams.stack.restarts import RUNS_WELL_S
from streams.stack.services import SUPERVISOR
from streams.stack.stack_supervisor import StackSupervisor
from streams.stack.supervise import never_cancelled
from tests.harness.waiting import wait_until

PAUSE = "import signal; signal.pause()"


class Supervised:
    """A stack of processes without components, and its supervisor."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.stack = LocalStack(home)
        self.now = 0.0
        self.hung: dict[ProcessId, str] = {}
        self.specs = {name: self.spec(name) for name in ("sink", "timekeeper", SUPERVISOR)}
        self.supervisor = StackSupervisor(
            self.stack, self.specs.__getitem__, self.hung.get, logs.get(SUPERVISOR), lambda: self.now
        )

    def spec(self, name: str, code: str = PAUSE) -> ServiceSpec:
        return ServiceSpec(name=name, argv=(sys.executable, "-c", code), log=self.home / f"{name}.log", env={})

    def turn(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.supervisor.turn(never_cancelled)

    def pid(self, name: str) -> int | None:
        return self.stack.status().component(name).pid

    def kill(self, name: str) -> None:
        pid = self.pid(name)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self.died(name)

    def died(self, name: str) -> None:
        wait_until(lambda: self.pid(name) is None, lambda: f"{name} lives")

    def restarts(self, name: str) -> Restarts:
        return next(each for each in self.stack.status().restarts if each.name == name)

    def processes(self) -> list[ProcessId]:
        return process.carriers(f"={(self.home / 'run').resolve()}#")


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    made = Supervised(tmp_path)
    made.stack.run([made.specs["sink"], made.specs["timekeeper"]])
    yield made
    made.stack.down()
    assert made.processes() == []


def test_a_killed_service_is_started_again_at_once_and_its_failure_is_shown(supervised: Supervised) -> None:
    other, before = supervised.pid("timekeeper"), supervised.pid("sink")
    supervised.kill("sink")
    supervised.turn()
    assert supervised.pid("sink") not in (None, before)
    assert supervised.pid("timekeeper") == other
    assert (supervised.restarts("sink").times, supervised.restarts("sink").next_at) == (1, None)


def test_nothing_that_runs_is_started_twice(supervised: Supervised) -> None:
    before = supervised.processes()
    supervised.turn()
    assert supervised.processes() == before
    assert supervised.stack.status().restarts == ()


def test_a_crash_loop_is_tried_again_later_and_later(supervised: Supervised) -> None:
    supervised.specs["sink"] = supervised.spec("sink", "raise SystemExit('error: no database')")
    supervised.kill("sink")
    supervised.turn()
    for failures in (2, 3, 4):
        supervised.died("sink")
        supervised.turn()
        assert supervised.restarts("sink").in_a_row == failures
        wait_s = supervised.restarts("sink").wait_s
        assert wait_s > 0
        supervised.turn(wait_s - 0.5)
        assert supervised.restarts("sink").next_at is not None
        supervised.turn(1.0)
        assert supervised.restarts("sink").next_at is None
    assert supervised.restarts("sink").crash_loop
    assert supervised.restarts("sink").error == "error: no database"


def test_a_service_that_has_run_well_is_started_at_once_the_next_time(supervised: Supervised) -> None:
    for _ in range(2):
        supervised.kill("sink")
        supervised.turn()
        supervised.turn(RUNS_WELL_S)
        supervised.turn(RUNS_WELL_S)
    assert (supervised.restarts("sink").times, supervised.restarts("sink").in_a_row) == (2, 0)
    assert supervised.pid("sink") is not None


def test_what_down_stopped_stays_stopped(supervised: Supervised) -> None:
    supervised.kill("timekeeper")
    supervised.stack.down(names=["sink", "timekeeper"])
    supervised.turn()
    assert supervised.processes() == []
    assert supervised.stack.status().restarts == ()


def test_down_between_a_failure_and_its_restart_wins(supervised: Supervised) -> None:
    (record,) = [each for each in supervised.stack.wanted() if each.name == "sink"]
    supervised.kill("sink")
    supervised.stack.down(names=["sink"])
    assert not supervised.stack.start_again("sink", supervised.specs.__getitem__, never_cancelled, record.process)
    assert [each.name for each in supervised.stack.wanted()] == ["timekeeper"]


def test_a_service_that_up_started_meanwhile_is_left_alone(supervised: Supervised) -> None:
    supervised.specs["sink"] = replace(supervised.specs["sink"], argv=("/nonexistent/sluice",))
    supervised.kill("sink")
    supervised.turn()
    assert "could not be started" in supervised.restarts("sink").reason
    supervised.stack.run([supervised.spec("sink")])
    before = supervised.pid("sink")
    supervised.turn(60.0)
    assert supervised.pid("sink") == before
    assert supervised.restarts("sink").next_at is None


def test_a_hung_service_is_replaced(supervised: Supervised) -> None:
    (record,) = [each for each in supervised.stack.wanted() if each.name == "sink"]
    supervised.hung[record.process] = "has not answered /livez for 31 s"
    supervised.turn()
    assert supervised.pid("sink") not in (None, record.process.pid)
    assert supervised.restarts("sink").reason == "has not answered /livez for 31 s"
    assert len(supervised.processes()) == 2


def test_a_start_that_fails_leaves_a_service_that_ran_before_wanted(supervised: Supervised) -> None:
    supervised.kill("sink")
    broken = supervised.spec("sink", "raise SystemExit(1)")
    with pytest.raises(Exception, match="ended while starting"):
        supervised.stack.run([replace(broken, ready=lambda: False)])
    assert not supervised.stack.status().component("sink").running
    supervised.turn()
    assert supervised.pid("sink") is not None


def test_a_service_whose_stack_has_other_addresses_now_is_started_again_by_up(supervised: Supervised) -> None:
    before = supervised.pid("sink")
    supervised.stack.run([replace(supervised.specs["sink"], facts={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:19092"})])
    assert supervised.pid("sink") not in (None, before)


def test_every_up_starts_a_new_supervisor(supervised: Supervised) -> None:
    replacing = replace(supervised.specs[SUPERVISOR], replaces=True)
    supervised.stack.run([replacing])
    before = supervised.pid(SUPERVISOR)
    events: list[StackEvent] = []
    supervised.stack.run([replacing], on_event=events.append)
    assert supervised.pid(SUPERVISOR) not in (None, before)
    assert "starting supervisor again, with the settings of this command" in [each.message for each in events]
    supervised.kill(SUPERVISOR)
    supervised.turn()  # a supervisor does not start itself
    assert supervised.pid(SUPERVISOR) is None
