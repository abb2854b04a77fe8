"""The sink on a real log and a real database: which result wins, what is stored, and what a crash leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from confluent_kafka.cimpl import NewTopic

from connectors.postgres.sink_store import PostgresSinkStore
from connectors.sink_store import Fenced, OffsetRow
from schemas.ids import new_id
from schemas.records import JobHeader
from streams.log import kafka
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.scribe import Scribe, header
from tests.harness.services import environment
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack


@pytest.fixture
def sink(settings: Settings) -> Iterator[None]:
    with in_thread(Sink(settings, notify=False).run):
        yield


def finished(scribe: Scribe, **changes: object) -> JobHeader:
    """Write a job's request and result, and wait until it is COMPLETED."""
    job = header(**changes)
    scribe.request(job)
    scribe.result(job)
    scribe.wait(job, "COMPLETED")
    return job


@pytest.mark.usefixtures("sink")
class TestWinners:
    def test_a_request_and_its_result_are_one_row_each_and_one_outcome(self, scribe: Scribe) -> None:
        job = header(external_id="case-7", labels={"site": "north"})
        scribe.request(job)
        value = scribe.result(job)
        scribe.wait(job, "COMPLETED")
        assert scribe.kinds(job) == ["request", "result"]
        assert scribe.rows("SELECT external_id, labels, current_run FROM jobs") == [("case-7", {"site": "north"}, 0)]
        assert scribe.rows("SELECT status, output, worker_id FROM outcomes") == [
            ("COMPLETED", {"message": "hello", "length": 5}, "worker-1")
        ]
        wait_until(lambda: scribe.outcomes() == [value], lambda: f"{len(scribe.outcomes())} outcomes")
        [outcome] = scribe.messages(scribe.names.outcomes("echo"), 1)
        assert outcome.key() == f"{job.job_id}:0".encode()

    def test_the_first_result_wins_and_the_second_is_superseded(self, scribe: Scribe) -> None:
        job = finished(scribe)
        first = scribe.rows('SELECT partition, "offset" FROM outcomes')
        scribe.result(job, "failed", execution=2)
        scribe.wait_for_kinds(job, "request", "result", "superseded")
        later = finished(scribe)
        assert scribe.state(job) == "COMPLETED"
        assert scribe.rows('SELECT partition, "offset" FROM outcomes WHERE job_id = %s', job.job_id) == first
        scribe.messages(scribe.names.outcomes("echo"), 2)
        published = [outcome.key().decode() for outcome in scribe.all_of(scribe.names.outcomes("echo"))]
        assert sorted(published) == sorted([f"{job.job_id}:0", f"{later.job_id}:0"])

    def test_a_result_may_come_before_its_request(self, scribe: Scribe) -> None:
        job = header()
        scribe.result(job)
        scribe.wait(job, "COMPLETED")
        scribe.request(job)
        scribe.wait_for_kinds(job, "request", "result")
        assert scribe.state(job) == "COMPLETED"

    def test_a_request_alone_is_pending_within_a_second_or_so(self, scribe: Scribe) -> None:
        job = header(deadline=datetime.now(UTC) + timedelta(hours=1))
        place = scribe.request(job)
        scribe.wait(job, "PENDING")
        assert scribe.rows('SELECT partition, "offset", due_kind FROM runs') == [
            (place.partition, place.offset, "deadline")
        ]

    def test_a_retry_waits_for_its_time_and_the_next_attempt_ends_the_run(self, scribe: Scribe) -> None:
        job = header()
        scribe.request(job)
        scribe.result(job, "retry", retry_in_ms=3_600_000)
        scribe.wait(job, "RETRYING")
        assert scribe.rows("SELECT due_kind, round(extract(epoch FROM due_at - updated_at)) FROM runs") == [
            ("retry", 3600)
        ]
        again = replace(job, attempt=2)
        scribe.request(again)
        scribe.wait(job, "PENDING")
        scribe.result(again)
        scribe.wait(job, "COMPLETED")
        assert scribe.rows("SELECT attempt, due_at FROM runs") == [(2, None)]

    def test_a_late_retry_does_not_bring_an_ended_job_back(self, scribe: Scribe) -> None:
        job = finished(scribe)
        scribe.result(job, "retry", retry_in_ms=1)
        scribe.wait_for_kinds(job, "request", "result", "superseded")
        assert scribe.state(job) == "COMPLETED"

    def test_the_same_id_with_another_input_is_superseded_and_the_first_request_stands(self, scribe: Scribe) -> None:
        job = header()
        scribe.request(job)
        scribe.wait(job, "PENDING")
        other = replace(job, input_sha256="b" * 64)
        scribe.result(other)
        scribe.wait_for_kinds(job, "request", "superseded")
        assert scribe.state(job) == "PENDING"
        scribe.result(job)
        scribe.wait(job, "COMPLETED")
        assert scribe.rows("SELECT input_sha256 FROM jobs") == [("a" * 64,)]

    @pytest.mark.parametrize(
        ("disposition", "code", "state"),
        [
            ("failed", "PROCESSOR_ERROR", "FAILED"),
            ("failed", "DEADLINE_EXCEEDED", "EXPIRED"),
            ("cancelled", "UNKNOWN", "CANCELLED"),
        ],
    )
    def test_every_end_has_its_state(self, scribe: Scribe, disposition: str, code: str, state: str) -> None:
        job = header()
        scribe.result(job, disposition, code=code)
        scribe.wait(job, state)
        assert scribe.rows("SELECT status, error_code FROM outcomes") == [(state, code)]

    def test_a_replay_becomes_the_current_run_and_a_shadow_run_never_does(self, scribe: Scribe) -> None:
        job = finished(scribe, callback_url="http://127.0.0.1:9/")
        finished(scribe, job_id=job.job_id, run=1, mode="replay")
        finished(scribe, job_id=job.job_id, run=2, mode="shadow", callback_url="http://127.0.0.1:9/")
        assert scribe.rows("SELECT current_run FROM jobs") == [(1,)]
        assert scribe.rows("SELECT run FROM deliveries") == [(0,)]

    def test_progress_marks_a_job_as_processing_and_never_brings_it_back(self, scribe: Scribe) -> None:
        job = header()
        scribe.request(job)
        wait_until(lambda: _state_after_progress(scribe, job) == "PROCESSING", lambda: f"it is {scribe.state(job)}")
        scribe.progress(job, stage="late", sequence=0)
        assert scribe.rows("SELECT owner, stage FROM runs") == [("worker-1", "run")]
        scribe.result(job)
        scribe.wait(job, "COMPLETED")
        scribe.progress(job, stage="after the end", sequence=99)
        finished(scribe)
        assert scribe.state(job) == "COMPLETED"


def _state_after_progress(scribe: Scribe, job: JobHeader) -> str | None:
    # Called until it takes effect: the sink reads only progress that is sent after it has joined the progress group.
    scribe.progress(job)
    return scribe.state(job)


def test_a_request_for_an_unknown_processor_fails_with_the_nearest_name(settings: Settings, scribe: Scribe) -> None:
    admin = kafka.admin(settings)
    for future in admin.create_topics([NewTopic(scribe.names.requests("ecko"), 1, 1)]).values():
        future.result()
    job = header(processor="ecko", callback_url="http://127.0.0.1:9/")
    scribe.request(job)
    with in_thread(Sink(settings, notify=False).run):
        scribe.wait(job, "FAILED")
    [(code, message)] = scribe.rows("SELECT error_code, error_message FROM outcomes")
    assert code == "UNKNOWN_PROCESSOR"
    assert "'echo'" in message
    assert scribe.rows("SELECT state FROM deliveries") == [("pending",)]


def test_an_owner_that_was_replaced_can_store_nothing_more(settings: Settings) -> None:
    old_owner, new_owner = PostgresSinkStore(settings.database), PostgresSinkStore(settings.database)
    key = (UUID(new_id()).bytes, 0)
    old = old_owner.claim("g", {key: 0})[key]
    new = new_owner.claim("g", {key: 0})[key]
    with pytest.raises(Fenced):
        old_owner.store([], [], [OffsetRow("g", *key, old.epoch, 0, 5, 5)])
    new_owner.store([], [], [OffsetRow("g", *key, new.epoch, 0, 3, 3)])
    assert new_owner.claim("g", {key: 0})[key].next_offset == 3
    old_owner.close()
    new_owner.close()


def test_offsets_move_on_the_store_even_when_nothing_else_is_stored(settings: Settings) -> None:
    store = PostgresSinkStore(settings.database)
    key = (UUID(new_id()).bytes, 1)
    mine = store.claim("g", {key: 7})[key]
    assert (mine.next_offset, mine.published, mine.epoch) == (7, 7, 1)
    with pytest.raises(Fenced):
        store.store([], [], [OffsetRow("g", *key, mine.epoch, 6, 9, 9)])
    store.close()


DIES_AFTER_THE_COMMIT = """
import os, signal, threading
from streams.settings import load_settings
from streams.sink import Sink
from streams.sink.outcomes import OutcomePublisher

def die(self, outcomes, upto):
    if list(outcomes):
        os.kill(os.getpid(), signal.SIGKILL)

OutcomePublisher.publish = die
Sink(load_settings(), notify=False).run(threading.Event())
"""


def test_outcomes_stored_but_not_published_when_the_sink_died_are_published_by_the_next(
    settings: Settings, scribe: Scribe
) -> None:
    jobs = [header() for _ in range(50)]
    values = set()
    for job in jobs:
        scribe.request(job)
        values.add(scribe.result(job))
    died = subprocess.run(
        [sys.executable, "-c", DIES_AFTER_THE_COMMIT],
        env=environment(settings),
        timeout=60,
        check=False,
        cwd=os.getcwd(),
    )
    assert died.returncode == -signal.SIGKILL
    assert scribe.rows("SELECT count(*) > 0 FROM outcomes") == [(True,)]
    assert scribe.outcomes() == []
    with in_thread(Sink(settings, notify=False).run):
        wait_until(lambda: set(scribe.outcomes()) == values, lambda: f"{len(scribe.outcomes())} outcomes")
    assert scribe.rows("SELECT count(*) FROM outcomes") == [(50,)]
    assert scribe.rows("SELECT sum(next_offset - published_offset) FROM sink_offsets") == [(0,)]


def test_two_sinks_share_the_partitions_and_every_job_ends_once(settings: Settings, scribe: Scribe) -> None:
    jobs = [header() for _ in range(40)]
    with in_thread(Sink(settings, notify=False).run):
        for job in jobs[:20]:
            scribe.request(job)
            scribe.result(job)
        scribe.wait(jobs[0], "COMPLETED")
        with in_thread(Sink(settings, notify=False).run):
            for job in jobs[20:]:
                scribe.request(job)
                scribe.result(job)
            for job in jobs:
                scribe.wait(job, "COMPLETED")
    assert scribe.rows("SELECT count(*) FROM outcomes") == [(40,)]
    assert len(set(scribe.outcomes())) == 40
