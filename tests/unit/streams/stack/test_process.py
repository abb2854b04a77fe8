"""A process is identified by its pid and its birth, never by the pid alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from streams.stack import process
from streams.stack.process import ProcessId

SLEEPER = [sys.executable, "-c", "print(flush=True); import signal; signal.pause()"]

# Its first thread ends, another reads on.
HEADLESS = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
print(flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE, env={"MARK": "one;"}, start_new_session=True) as child:
        assert child.stdout is not None
        child.stdout.readline()  # it runs
        yield child
        child.kill()


def test_a_living_process_is_itself() -> None:
    me = process.identify(os.getpid())
    assert me is not None
    assert process.alive(me)


def test_a_later_process_with_the_same_pid_is_another_one() -> None:
    me = process.identify(os.getpid())
    assert me is not None
    assert not process.alive(ProcessId(me.pid, "born in another life"))


def test_a_zombie_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    before = process.identify(sleeper.pid)
    assert before is not None
    sleeper.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped
    assert not process.alive(before)


def test_a_process_whose_first_thread_ended_lives_on_in_the_others() -> None:
    with subprocess.Popen([sys.executable, "-c", HEADLESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            pass
        assert process.identify(child.pid) is not None
        child.kill()


def test_a_killed_process_is_known_as_killed_until_it_is_gone(sleeper: subprocess.Popen[bytes]) -> None:
    assert not process.was_killed(sleeper.pid)
    sleeper.send_signal(signal.SIGKILL)
    while process.identify(sleeper.pid) is not None:
        assert process.was_killed(sleeper.pid) or process.identify(sleeper.pid) is None


def test_a_pid_without_a_process_identifies_none(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    assert process.identify(sleeper.pid) is None
    assert not process.listens_on(sleeper.pid, 9092)


def test_the_members_of_a_group_are_found(sleeper: subprocess.Popen[bytes]) -> None:
    assert [member.pid for member in process.group_members(sleeper.pid)] == [sleeper.pid]


def test_a_mark_in_the_environment_finds_its_process(sleeper: subprocess.Popen[bytes]) -> None:
    assert [found.pid for found in process.carriers("MARK=one;")] == [sleeper.pid]
    assert process.carriers("MARK=on;") == []


def test_a_process_is_found_by_its_working_directory(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE, cwd=tmp_path) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert [found.pid for found in process.working_in(tmp_path)] == [child.pid]
        child.kill()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_only_the_listener_itself_listens(sleeper: subprocess.Popen[bytes], family: socket.AddressFamily) -> None:
    with socket.create_server(("127.0.0.1" if family is socket.AF_INET else "::", 0), family=family) as server:
        port = server.getsockname()[1]
        assert process.listens_on(os.getpid(), port)
        assert not process.listens_on(sleeper.pid, port)
    assert not process.listens_on(os.getpid(), port)


def test_it_is_unknown_whether_a_process_listens_that_may_not_be_inspected(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr("psutil.Process.net_connections", refuse)
    assert process.listens_on(os.getpid(), 9092) is None
