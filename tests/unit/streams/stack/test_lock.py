"""The lock has one holder at a time, and a killed holder releases it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streams.stack.lock import exclusive
from streams.stack.supervise import never_cancelled

HOLDER = """
import sys, signal
from pathlib import Path
from streams.stack.lock import exclusive
with exclusive(Path(sys.argv[1]), on_wait=lambda: None, check=lambda: None):
    print("held", flush=True)
    signal.pause()
"""


def nothing_to_wait_for() -> None:
    raise AssertionError("no other process holds the lock")


def test_a_free_lock_is_acquired_at_once(tmp_path: Path) -> None:
    for _ in range(2):
        with exclusive(tmp_path / "new" / "lock", on_wait=nothing_to_wait_for, check=never_cancelled):
            assert (tmp_path / "new" / "lock").exists()


def test_a_waiting_process_reports_once_and_gets_the_lock_when_the_holder_is_killed(tmp_path: Path) -> None:
    waits: list[str] = []
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with exclusive(tmp_path / "lock", on_wait=lambda: waits.append("waiting"), check=holder.kill):
            assert waits == ["waiting"]
            assert holder.wait() != 0


def test_waiting_can_be_cancelled(tmp_path: Path) -> None:
    def check() -> None:
        raise InterruptedError

    with (
        exclusive(tmp_path / "lock", on_wait=nothing_to_wait_for, check=never_cancelled),
        pytest.raises(InterruptedError),
        exclusive(tmp_path / "lock", on_wait=never_cancelled, check=check),
    ):
        raise AssertionError("the lock was had twice")
