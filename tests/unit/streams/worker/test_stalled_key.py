"""A key whose first job does not end: its followers wait, and no other job does."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from schemas.contract import contract
from schemas.records import EchoInput
from schemas.states import Disposition
from streams.admin import topics
from streams.client.submitter import Submitter
from streams.settings import Settings
from streams.worker.kafka_source import stalls
from tests.harness.engine_session import RunningSession
from tests.harness.waiting import wait_until

LIMIT = 10  # jobs in flight, as READY of the session's test says


def submit(settings: Settings, key: str, count: int) -> int:
    """Submit jobs of one key; return their partition."""
    with Submitter(settings) as submitter:
        sent = [submitter.submit("echo", EchoInput(f"{key} {n}"), order_key=key) for n in range(count)]
    return sent[0].partition


def test_jobs_behind_one_that_does_not_end_leave_places_to_other_partitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalls, "STALLED_AFTER_S", 0.0)
    monkeypatch.setattr(stalls, "CHECK_EVERY_S", 0.0)
    address = f"memory:{uuid.uuid4().hex}"
    settings = Settings(home=tmp_path, kafka_bootstrap_servers=address, schema_registry_url=address, partitions=2)
    topics.apply(settings, [contract("echo")])
    stuck = submit(settings, "a", 30)
    running = RunningSession(settings, order="key")
    (first,) = running.until_sent(1)
    others = [key for key in "bcdefgh" if submit(settings, key, 1) != stuck]
    sent = list(running.until_sent(1 + len(others)))
    assert {job.origin.partition for job in sent[1:]} == {1 - stuck}
    for _ in range(10):
        running.turn()
    assert len(running.in_flight) <= 2 * LIMIT + len(others), "the stuck partition is not read on"
    for job in sent[1:]:
        running.answer(job)
    running.answer(first, Disposition.FAILED)
    wait_until(lambda: len(running.child.sent) > len(sent), lambda: "its followers were not sent", 20, running.turn)
    assert running.child.sent[-1].offset > first.offset
    while len(running.in_flight):
        for job in running.in_flight.with_child():
            running.answer(job)
        running.turn()
    assert len({(job.origin.partition, job.offset) for job in running.child.sent}) >= 30
    running.close()
