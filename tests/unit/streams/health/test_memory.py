"""Memory used by a process."""

from __future__ import annotations

import os
import subprocess
import sys

from streams.health.memory import resident


def test_a_running_process_uses_memory() -> None:
    used = resident(os.getpid())
    assert used is not None
    assert 1_000_000 < used < 10_000_000_000


def test_a_process_that_has_ended_uses_none() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
        assert resident(child.pid) is None
    assert resident(None) is None
