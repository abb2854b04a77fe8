"""Long-running commands stop on a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import ExitCode

PROGRAM = """
import sys, threading
from streams.cli.service import serve
from streams.health.report import Health

class Patient:
    def health(self, *, ask=True):
        return Health(alive=True, ready=True)

    def run(self, stop):
        print("working", flush=True)
        stop.wait()
        print("draining", flush=True)
        if {stubborn}:
            threading.Event().wait()

sys.exit(serve("patient", lambda settings: Patient()))
"""


@contextmanager
def service(*, stubborn: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A running service; a `stubborn` one never finishes its jobs."""
    program = [sys.executable, "-c", PROGRAM.format(stubborn=stubborn)]
    with (
        tempfile.TemporaryDirectory() as home,
        subprocess.Popen(
            program,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"SLUICE_HOME": home},
        ) as process,
    ):
        try:
            assert line_of(process) == "working"
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_after_sigterm_a_service_finishes_its_jobs() -> None:
    with service() as process:
        process.send_signal(signal.SIGTERM)
        assert line_of(process) == "draining"
        assert process.wait(20) == ExitCode.OK


def test_after_an_interrupt_a_service_finishes_its_jobs() -> None:
    with service() as process:
        process.send_signal(signal.SIGINT)
        assert line_of(process) == "draining"
        assert process.wait(20) == ExitCode.OK


def test_a_second_interrupt_ends_it_at_once() -> None:
    with service(stubborn=True) as process:
        process.send_signal(signal.SIGINT)
        assert line_of(process) == "draining"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == ExitCode.INTERRUPTED


DEAF = """
import streams.health.server as server

def fail(self, interval):
    raise OSError("too many open files")

server._Server.serve_forever = fail
server._Server.shutdown = lambda self: None
"""


def test_a_service_whose_health_server_dies_ends_loudly() -> None:
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-c", DEAF + PROGRAM.format(stubborn=False)],
            env=os.environ | {"SLUICE_HOME": home, "SLUICE_LOG_FORMAT": "json"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == ExitCode.INTERNAL
    assert "loop_died" in done.stderr
    assert "The patient has ended: the health loop has ended (OSError)" in done.stderr
