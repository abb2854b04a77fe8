"""A stopping service ends within its time limit, wherever it hangs, and says where."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import ExitCode

PROGRAM = """
import ctypes, signal, threading
from streams.cli import service
from streams.health import watchdog
from streams.health.report import Health

service.CLOSE_S = 0.3
watchdog._GIL_S = 0.5

def hang_in_a_library():
    "A library's call that no signal ends, so that Python's handlers never run."
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)

def finish_forever(stop):
    stop.wait()
    threading.Event().wait()

def keep_the_gil(stop):
    stop.wait()
    ctypes.PyDLL(None).sleep(60)

def leave_a_thread(stop):
    threading.Thread(target=threading.Event().wait, name="lingerer").start()
    stop.wait()

def fail_and_finish_forever(stop):
    stop.set()  # as a worker does when one of its processors fails, and a service whose loop has died
    threading.Event().wait()

def signalled_while_it_holds(lock, stop):
    with lock:
        signal.raise_signal(signal.SIGTERM)  # the handler runs here
    stop.wait()

class Stuck:
    def health(self, *, ask=True):
        return Health(alive=True, ready=True)

    def run(self, stop):
        print("working", flush=True)
        {hangs}

service.serve("stuck", lambda settings: Stuck())
"""


@pytest.mark.parametrize(
    ("hangs", "named"),
    [
        ("hang_in_a_library()", "MainThread: hang_in_a_library"),
        ("finish_forever(stop)", "finish_forever"),
        ("leave_a_thread(stop)", "lingerer: "),
    ],
)
def test_a_service_that_hangs_is_ended_and_names_what_hangs(tmp_path: Path, hangs: str, named: str) -> None:
    status, errors = run_and_stop(tmp_path, hangs)
    assert status == ExitCode.INTERNAL
    (line,) = [line for line in map(json.loads, errors) if line["event"] == "stop_timed_out"]
    assert named in " ".join(line["hangs_in"])


def test_a_service_that_hangs_after_a_failure_of_its_own_is_ended_as_after_a_signal(tmp_path: Path) -> None:
    status, errors = run_and_stop(tmp_path, "fail_and_finish_forever(stop)", number=0)
    assert status == ExitCode.INTERNAL
    (line,) = map(json.loads, errors)
    assert line["event"] == "stop_timed_out"


def test_a_service_that_keeps_the_gil_is_ended_with_a_traceback(tmp_path: Path) -> None:
    status, errors = run_and_stop(tmp_path, "keep_the_gil(stop)")
    assert status == ExitCode.INTERNAL
    assert any("in keep_the_gil" in line for line in errors)


def test_a_signal_that_comes_while_the_main_thread_holds_the_lock_of_its_event_stops_the_service(
    tmp_path: Path,
) -> None:
    status, errors = run_and_stop(tmp_path, "signalled_while_it_holds(stop._cond, stop)")
    assert status == ExitCode.OK
    assert [json.loads(line)["event"] for line in errors] == ["stopping", "stopped"]


def run_and_stop(home: Path, hangs: str, number: int = signal.SIGTERM) -> tuple[int, list[str]]:
    """Run the program until it works, send a signal (0: none), and return its exit status and the lines of its standard
    error."""
    variables = {"SLUICE_HOME": str(home), "SLUICE_DRAIN_S": "0.2", "SLUICE_LOG_FORMAT": "json"}
    program = [sys.executable, "-c", PROGRAM.format(hangs=hangs)]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | variables
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().strip() == "working"
        process.send_signal(number)
        try:
            return process.wait(20), list(process.stderr)
        finally:
            process.kill()
