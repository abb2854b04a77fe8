"""Processes of a visit: their logs, and that none outlives it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.request import Request, urlopen

import psutil
import pytest

from bench.compare.processes import Client, Processes, ReceiverProcess, terminated_like_interrupted
from schemas.errors import SluiceError, StartupError

#: Prints the pid of a child that ignores SIGTERM.
PARENT = """
import subprocess, sys
stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


def python(program: str) -> Sequence[str]:
    return [sys.executable, "-c", program]


def test_no_process_outlives_the_visit_not_even_a_child_of_one(tmp_path: Path) -> None:
    with Processes(tmp_path, {}) as processes:
        parent = processes.start("parent", python(PARENT), talks=True)
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
    assert parent.poll() is not None
    child.wait(10)  # raises if it lives on


def test_a_service_that_ends_too_early_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    with Processes(tmp_path, {}) as processes:
        processes.start("worker", python("raise SystemExit('no such queue')"))
        with pytest.raises(StartupError, match=r"worker ended with exit status 1\. Its log ends:\nno such queue"):
            processes.wait_for("worker", "ready", 10)


def test_a_service_has_the_variables_of_the_visit(tmp_path: Path) -> None:
    with Processes(tmp_path, {"BENCH_VISIT": "celery-1"}) as processes:
        processes.start("worker", python("import os; print(os.environ['BENCH_VISIT'], 'is ready'); input()"))
        with pytest.raises(StartupError, match="worker ended"):  # it has no standard input to wait at
            processes.wait_for("worker", "never", 10)
        assert processes.log("worker").read_text().startswith("celery-1 is ready")


def test_a_client_that_has_ended_is_an_error_and_no_endless_wait(tmp_path: Path) -> None:
    with Processes(tmp_path, {}) as processes:
        client = Client(processes.start("client", python(""), talks=True))
        with pytest.raises(SluiceError, match="client ended during `burst`"):
            client.ask("burst", count=1)


def test_the_receiver_reports_when_numbered_callbacks_arrived(tmp_path: Path) -> None:
    with Processes(tmp_path, {}) as processes:
        receiver = ReceiverProcess(processes.start("receiver", ReceiverProcess.ARGV, talks=True))
        for path in ("", "idle/0", "idle/1", "idle/1"):
            headers = {"webhook-id": path or "burst"}
            with urlopen(Request(f"{receiver.url}{path}", data=b"{}", headers=headers), timeout=10) as answer:
                assert answer.status == 200
        first = receiver.wait_for("idle", {0, 1}, 10)
        assert set(first) == {0, 1}
        assert first[0] < first[1]
        assert receiver.stats()["unique"] == 3
        assert receiver.stats()["requests"] == 4
        assert receiver.wait_for("idle", {2}, 0.0) == {}
    assert os.path.exists(tmp_path / "receiver.log")


def test_sigterm_cleans_up_as_ctrl_c_does() -> None:
    with pytest.raises(KeyboardInterrupt), terminated_like_interrupted():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
