"""The timekeeper on real parts: retries, deadlines, succession and forgetting."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from connectors.postgres.due_store import PostgresDueStore
from schemas import headers
from streams import compose
from streams.settings import Settings
from streams.sink import Sink
from streams.timekeeper import Timekeeper
from tests.harness.scribe import Scribe, header, in_thread, wait_until

pytestmark = pytest.mark.stack


@pytest.fixture
def scribe(settings: Settings) -> Iterator[Scribe]:
    made = Scribe(settings)
    yield made
    made.close()


@pytest.fixture
def road(settings: Settings) -> Iterator[None]:
    with in_thread(Sink(settings, notify=False).run), in_thread(Timekeeper(settings).run):
        yield


@pytest.mark.usefixtures("road")
@pytest.mark.parametrize("lane", ["live", "bulk"])
def test_a_retry_is_the_same_request_one_attempt_further_on_the_same_lane(
    settings: Settings, scribe: Scribe, lane: str
) -> None:
    job = header(lane=lane, labels={"site": "north"})
    place = scribe.request(job, "again, please")
    scribe.result(job, "retry", retry_in_ms=50)
    first, second = scribe.messages(scribe.names.requests("echo", lane), 2)
    codec = compose.codec(settings)
    before, after = codec.decode(first.value()), codec.decode(second.value())
    assert after["input"] == before["input"]
    assert after["header"].pop("source_coordinates") | {"topic_id": ""} == {
        "topic": place.topic,
        "partition": place.partition,
        "offset": place.offset,
        "topic_id": "",
    }
    assert before["header"].pop("source_coordinates") is None
    assert after["header"] == before["header"] | {"attempt": 2}
    assert second.key() == first.key()
    assert second.partition() == first.partition()
    assert dict(second.headers())[headers.ATTEMPT] == b"2"
    scribe.wait(job, "PENDING")
    assert scribe.rows("SELECT attempt, due_at FROM runs") == [(2, None)]


@pytest.mark.usefixtures("road")
def test_a_retry_is_published_once(scribe: Scribe) -> None:
    job = header()
    scribe.request(job)
    scribe.result(job, "retry", retry_in_ms=1)
    scribe.messages(scribe.names.requests("echo"), 2)
    later = header(deadline=datetime.now(UTC) + timedelta(milliseconds=100))
    scribe.request(later)  # by the time this one has expired, the timekeeper has looked again
    scribe.wait(later, "EXPIRED")
    assert len(scribe.all_of(scribe.names.requests("echo"))) == 3


@pytest.mark.usefixtures("road")
def test_a_job_that_nobody_reads_expires_at_its_deadline(scribe: Scribe) -> None:
    job = header(deadline=datetime.now(UTC) + timedelta(milliseconds=200))
    scribe.request(job)
    scribe.wait(job, "EXPIRED")
    assert scribe.rows("SELECT status, error_code FROM outcomes") == [("EXPIRED", "DEADLINE_EXCEEDED")]
    assert len(scribe.messages(scribe.names.outcomes("echo"), 1)) == 1


@pytest.mark.usefixtures("road")
def test_a_retry_whose_request_is_gone_from_the_log_ends_the_job(settings: Settings, scribe: Scribe) -> None:
    job = header()
    scribe.result(job, "retry", retry_in_ms=50)  # without coordinates, and its request was never read
    scribe.wait(job, "FAILED")
    with compose.job_store(settings) as store:
        view = store.job(job.job_id)
    assert view is not None
    assert view.error is not None
    assert view.error.code == "NOT_FOUND"


def test_one_leads_and_the_second_takes_over_when_it_is_gone(settings: Settings) -> None:
    first, second = PostgresDueStore(settings.database), PostgresDueStore(settings.database)
    assert (first.lead(), second.lead(), first.lead()) == (True, False, True)
    first.close()
    wait_until(second.lead, lambda: "nobody leads")
    second.close()


def test_the_second_timekeeper_goes_on_where_the_first_stopped(settings: Settings, scribe: Scribe) -> None:
    sink, first, second = Sink(settings, notify=False), Timekeeper(settings), Timekeeper(settings)
    with in_thread(sink.run), in_thread(first.run) as stop_first, in_thread(second.run):
        for job, total in ((header(), 2), (header(), 4)):
            scribe.request(job)
            scribe.result(job, "retry", retry_in_ms=50)
            scribe.messages(scribe.names.requests("echo"), total)
            stop_first.set()


def test_what_was_decided_long_ago_is_forgotten_and_nothing_else(settings: Settings, scribe: Scribe) -> None:
    with in_thread(Sink(settings, notify=False).run):
        old, fresh, owed = header(), header(), header(callback_url="http://127.0.0.1:9/")
        for job in (old, fresh, owed):
            scribe.request(job)
            scribe.result(job)
            scribe.wait(job, "COMPLETED")
    for job in (old, owed):
        scribe.rows(
            "UPDATE outcomes SET decided_at = now() - interval '60 days' WHERE job_id = %s RETURNING 1", job.job_id
        )
    store = PostgresDueStore(settings.database)
    assert store.prune(timedelta(days=30), 100) == 1
    assert store.prune(timedelta(days=30), 100) == 0
    store.close()
    for table in ("jobs", "runs", "outcomes"):
        kept = {str(row[0]) for row in scribe.rows(f"SELECT job_id FROM {table}")}
        assert kept == {fresh.job_id, owed.job_id}
    assert scribe.rows("SELECT count(*) FROM history WHERE job_id = %s", old.job_id) == [(0,)]
