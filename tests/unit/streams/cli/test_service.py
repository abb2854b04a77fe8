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
