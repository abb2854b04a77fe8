"""Ten thousand cancels during ten thousand jobs: each job ends once, completed or cancelled, and its backend hears that."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest

from bench.receiver import Receiver
from schemas.records import EchoInput
from streams.client.commands import CommandClient
from streams.client.submitter import Submitter
from streams.settings import Settings
from tests.harness.services import running

pytestmark = pytest.mark.stack

JOBS = 10_000
PATIENCE_S = 90.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


def submit_and_cancel(settings: Settings, receiver: Receiver) -> list[str]:
    """All jobs, each cancelled at some moment after it was submitted: some wait then, some run, some are done."""
    chosen = random.Random(7)
    waiting: list[str] = []
    submitted: list[str] = []
    with Submitter(settings) as submitter, CommandClient(settings) as controls:
        for n in range(JOBS):
            submitted.append(submitter.submit_nowait("echo", EchoInput(f"job {n}"), callback_url=receiver.url))
            waiting.append(submitted[-1])
            if len(waiting) >= 1000:
                chosen.shuffle(waiting)
                submitter.flush()
                # The first are cancelled once callbacks come, so that for some of them it is too late.
                assert receiver.wait_for(100, PATIENCE_S), "no callback came"
                controls.cancel_many((job, 0) for job in waiting[:500])
                del waiting[:500]
        submitter.flush()
        controls.cancel_many((job, 0) for job in waiting)
    return submitted


def test_each_job_ends_once_as_completed_or_cancelled_and_its_callback_says_the_same(
    settings: Settings, receiver: Receiver
) -> None:
    with running(settings, ["sink"], ["worker", "echo"], ["timekeeper"]):
        submitted = submit_and_cancel(settings, receiver)
        assert receiver.wait_for(JOBS, PATIENCE_S), f"{len(receiver.ids)} of {JOBS} were called back"
    with psycopg.connect(settings.database) as database:
        rows = database.execute("SELECT job_id::text, state FROM runs").fetchall()
        outcomes = database.execute("SELECT job_id::text, status FROM outcomes").fetchall()
        asked = database.execute("SELECT count(*) FROM cancels").fetchone()
    assert asked == (JOBS,)
    assert sorted(job for job, _ in outcomes) == sorted(submitted)
    assert sorted(rows) == sorted(outcomes)
    states = Counter(state for _, state in outcomes)
    assert states.keys() == {"COMPLETED", "CANCELLED"}, states
    called: dict[str, set[str]] = {}
    for callback in receiver.callbacks:
        event = callback.event()["data"]
        called.setdefault(event["job_id"], set()).add(event["status"])
    assert called == {job: {state} for job, state in outcomes}
