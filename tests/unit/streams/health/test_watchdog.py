"""A service ends within a bound, whatever it hangs in, and says where."""

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
import ctypes, threading
from streams.cli import service
from streams.health.report import Health

service.CLOSE_S = 0.3

def hear_nothing():
    "A library's call that no signal ends, so that Python's handlers never run."
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)

def finish_for_ever(stop):
    stop.wait()
    threading.Event().wait()

def leave_a_thread(stop):
    threading.Thread(target=threading.Event().wait, name="lingerer").start()
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
        ("hear_nothing()", "MainThread: hear_nothing"),
        ("finish_for_ever(stop)", "finish_for_ever"),
        ("leave_a_thread(stop)", "lingerer: "),
    ],
)
def test_a_service_that_hangs_is_ended_and_names_what_hangs(tmp_path: Path, hangs: str, named: str) -> None:
    given = {"SLUICE_HOME": str(tmp_path), "SLUICE_DRAIN_S": "0.2", "SLUICE_LOG_FORMAT": "json"}
    program = [sys.executable, "-c", PROGRAM.format(hangs=hangs)]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | given
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().strip() == "working"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == ExitCode.INTERNAL
        (told,) = [line for line in map(json.loads, process.stderr) if line["event"] == "stop_timed_out"]
    assert named in " ".join(told["hangs_in"])
