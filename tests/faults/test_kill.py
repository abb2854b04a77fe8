"""kill -9 of a worker's child, again and again, also while it starts: the worker goes on and every job ends.

All other kills are faults of the machine (`schedule.py`).
"""

from __future__ import annotations

import os
import signal

import pytest

from bench.receiver import Receiver
from schemas.records import EchoInput
from streams.client.submitter import Submitter
from streams.settings import Settings
from tests.harness.services import running

pytestmark = pytest.mark.stack

JOBS = 200
KILLS = 3
PATIENCE_S = 60.0


def test_a_worker_whose_process_is_killed_again_and_again_goes_on(settings: Settings) -> None:
    small = settings.model_copy(update={"max_batch": 10})
    with (
        Receiver() as receiver,
        running(small, ["worker", "echo"], ["sink"]) as (worker, _),
        Submitter(small) as submitter,
    ):
        for n in range(JOBS):
            submitter.submit_nowait("echo", EchoInput(f"job {n}", 20), callback_url=receiver.url)
        submitter.flush()
        assert receiver.wait_for(20, PATIENCE_S), "no callback came"
        killed: set[int] = set()
        while len(killed) < KILLS:  # most of them while they are still starting
            for pid in set(worker.children()) - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        assert receiver.wait_for(JOBS, PATIENCE_S), "every job ended, and its backend was called"
        assert worker.process.poll() is None
