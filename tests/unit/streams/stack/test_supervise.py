"""Real processes, started, watched and ended: every process of a service is ended, and no other is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import StartupError
from streams.stack import process
from streams.stack.process import ProcessId
from streams.stack.process_records import ProcessRecord, ProcessRecords
from streams.stack.supervise import ProcessSupervisor, ServiceSpec
from tests.harness.waiting import wait_until

READY = "open('ready', 'w').close()"
PAUSE = "import signal; signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
WITH_CHILD = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])"


class Room:
    """A supervisor with a folder of its own, and services written as lines of Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = folder / "run"
        self.supervisor = ProcessSupervisor(self.records)

    def service(
        self, *lines: str, name: str = "worker", start_seconds: float = 20.0, stop_seconds: float = 5.0
    ) -> ServiceSpec:
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        return ServiceSpec(
            name=name,
            argv=(sys.executable, "-c", "\n".join(lines)),
            log=self.folder / f"{name}.log",
            env={"LANG": "C.UTF-8"},
            cwd=self.folder,
            ready=ready.exists,
            start_seconds=start_seconds,
            stop_seconds=stop_seconds,
        )

    def processes(self) -> list[ProcessId]:
        return process.carriers(f"={self.records.resolve()}#")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    for left in room.processes():
        os.kill(left.pid, signal.SIGKILL)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", PAUSE]) as child:
        yield child
        child.kill()


def test_a_service_runs_once_it_is_ready_and_until_it_is_stopped(room: Room) -> None:
    started = room.supervisor.start(room.service(READY, PAUSE))
    running = room.supervisor.running("worker")
    assert running is not None
    assert running.process == started.process
    assert room.supervisor.stop("worker")
    assert room.supervisor.running("worker") is None
    assert room.processes() == []


def test_another_supervisor_of_the_same_folder_sees_it_and_stops_it(room: Room) -> None:
    started = room.supervisor.start(room.service(READY, PAUSE))
    later = ProcessSupervisor(room.records)
    running = later.running("worker")
    assert running is not None
    assert running.process == started.process
    assert later.stop("worker")
    assert room.processes() == []


def test_a_service_has_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(room: Room) -> None:
    started = room.supervisor.start(room.service(READY, PAUSE))
    assert os.getsid(started.process.pid) == started.process.pid != os.getsid(0)


def test_a_service_gets_the_environment_it_was_given_and_no_other(room: Room) -> None:
    room.supervisor.start(room.service("import os; print(sorted(os.environ), flush=True)", READY, PAUSE))
    assert (room.folder / "worker.log").read_text() == "['LANG', 'SLUICE_SERVICE']\n"


def test_a_service_that_dies_while_starting_fails_with_the_end_of_its_log(room: Room) -> None:
    with pytest.raises(StartupError, match=r"ended while starting \(exit status 3\)") as caught:
        room.supervisor.start(room.service("print('no weights found', flush=True)", "raise SystemExit(3)"))
    assert "no weights found" in str(caught.value.next_step)
    assert room.supervisor.record("worker") is None


def test_the_error_for_a_missing_program_names_the_service(room: Room) -> None:
    service = ServiceSpec(name="sink", argv=("/nonexistent/sluice",), log=room.folder / "sink.log", env={})
    with pytest.raises(StartupError, match="sink can't be started"):
        room.supervisor.start(service)


def test_a_service_that_is_never_ready_is_ended(room: Room) -> None:
    with pytest.raises(StartupError, match="was not ready within"):
        room.supervisor.start(room.service(PAUSE, start_seconds=0.3))
    assert room.processes() == []


def test_cancelling_a_start_leaves_nothing_running(room: Room) -> None:
    def check() -> None:
        if room.processes():
            raise InterruptedError

    with pytest.raises(InterruptedError):
        room.supervisor.start(room.service(PAUSE), check)
    assert room.processes() == []
    assert room.supervisor.record("worker") is None


def test_a_service_that_ignores_sigterm_is_killed(room: Room) -> None:
    room.supervisor.start(room.service(STUBBORN, READY, PAUSE, stop_seconds=0.3))
    assert room.supervisor.stop("worker")
    assert room.processes() == []


def test_the_children_of_a_stopped_service_are_ended_too(room: Room) -> None:
    room.supervisor.start(room.service(WITH_CHILD, READY, PAUSE))
    wait_until(lambda: len(room.processes()) == 2, lambda: f"{room.processes()}", 10)
    room.supervisor.stop("worker")
    assert room.processes() == []


def test_a_killed_service_is_known_to_be_gone(room: Room) -> None:
    started = room.supervisor.start(room.service(READY, PAUSE))
    os.kill(started.process.pid, signal.SIGKILL)
    wait_until(lambda: room.supervisor.running("worker") is None, lambda: f"{room.processes()}", 10)
    assert not room.supervisor.stop("worker")


def test_orphans_of_a_killed_service_are_ended_before_it_starts_again(room: Room) -> None:
    started = room.supervisor.start(room.service(WITH_CHILD, READY, PAUSE))
    os.kill(started.process.pid, signal.SIGKILL)
    wait_until(lambda: started.process not in room.processes(), lambda: f"{room.processes()}", 10)
    orphans = room.processes()
    assert orphans
    again = room.supervisor.start(room.service(READY, PAUSE))
    assert room.processes() == [again.process]


def test_a_process_whose_record_was_lost_is_ended_before_its_service_starts_again(room: Room) -> None:
    lost = room.supervisor.start(room.service(READY, PAUSE))
    ProcessRecords(room.records).remove("worker")
    again = room.supervisor.start(room.service(READY, PAUSE))
    assert lost.process != again.process
    assert room.processes() == [again.process]


def test_a_sweep_ends_every_process_without_a_record(room: Room) -> None:
    room.supervisor.start(room.service(READY, PAUSE))
    ProcessRecords(room.records).remove("worker")
    assert room.supervisor.sweep() == 1
    assert room.processes() == []


def test_a_service_is_not_mistaken_for_one_whose_name_begins_alike(room: Room) -> None:
    second = room.supervisor.start(room.service(READY, PAUSE, name="worker-2"))
    room.supervisor.start(room.service(READY, PAUSE))
    assert room.supervisor.running("worker-2") is not None
    room.supervisor.stop("worker")
    assert room.processes() == [second.process]


def test_another_process_with_the_recorded_pid_is_neither_mistaken_for_the_service_nor_killed(
    room: Room, bystander: subprocess.Popen[bytes]
) -> None:
    stale = ProcessId(bystander.pid, "of an earlier process")
    ProcessRecords(room.records).write(ProcessRecord.new("worker", stale, room.folder / "log", {}, signal.SIGTERM, 1.0))
    assert room.supervisor.running("worker") is None
    assert not room.supervisor.stop("worker")
    room.supervisor.start(room.service(READY, PAUSE))
    assert bystander.poll() is None


@pytest.mark.parametrize("content", ["", "{}", '{"pid": 1}', "not json"])
def test_a_broken_record_counts_as_none(room: Room, content: str) -> None:
    room.records.mkdir()
    (room.records / "worker.json").write_text(content)
    assert room.supervisor.running("worker") is None
    assert room.supervisor.names() == []


def test_a_service_that_runs_without_being_ready_does_not_answer(room: Room) -> None:
    service = room.service(READY, PAUSE)
    room.supervisor.start(service)
    assert room.supervisor.answers(service, seconds=0)
    (room.folder / "ready").unlink()
    assert not room.supervisor.answers(service, seconds=0)
