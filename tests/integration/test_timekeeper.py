"""The timekeeper on a real stack: retries, deadlines, succession of leaders, and pruning."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from confluent_kafka import TopicPartition

from connectors.postgres.due_store import PostgresDueStore
from schemas import headers
from schemas.records import EchoInput, JobHeader
from streams import wiring
from streams.client.submitter import Submitter
from streams.log import kafka
from streams.settings import Settings
from streams.sink import Sink
from streams.timekeeper import Timekeeper
from tests.harness.scribe import Scribe, header
from tests.harness.services import running
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack


@pytest.fixture
def scribe(settings: Settings) -> Iterator[Scribe]:
    made = Scribe(settings)
    yield made
    made.close()


@pytest.fixture
def services(settings: Settings) -> Iterator[None]:
    with in_thread(Sink(settings, notify=False).run), in_thread(Timekeeper(settings).run):
        yield


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize("lane", ["live", "bulk"])
def test_a_retry_is_the_same_request_one_attempt_further_on_the_same_lane(
    settings: Settings, scribe: Scribe, lane: str
) -> None:
    job = header(lane=lane, labels={"site": "north"})
    place = scribe.request(job, "again, please")
    scribe.result(job, "retry", retry_in_ms=50)
    first, second = scribe.messages(scribe.names.requests("echo", lane), 2)
    codec = wiring.codec(settings)
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


@pytest.mark.usefixtures("services")
def test_a_retry_is_published_once(scribe: Scribe) -> None:
    job = header()
    scribe.request(job)
    scribe.result(job, "retry", retry_in_ms=1)
    scribe.messages(scribe.names.requests("echo"), 2)
    later = header(deadline=datetime.now(UTC) + timedelta(milliseconds=100))
    scribe.request(later)  # when this one has expired, the timekeeper has looked again
    scribe.wait(later, "EXPIRED")
    assert len(scribe.all_of(scribe.names.requests("echo"))) == 3


@pytest.mark.usefixtures("services")
def test_a_job_without_workers_expires_at_its_deadline(scribe: Scribe) -> None:
    job = header(deadline=datetime.now(UTC) + timedelta(milliseconds=200))
    scribe.request(job)
    scribe.wait(job, "EXPIRED")
    assert scribe.rows("SELECT status, error_code FROM outcomes") == [("EXPIRED", "DEADLINE_EXCEEDED")]
    assert len(scribe.messages(scribe.names.outcomes("echo"), 1)) == 1


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize("ms", [-50, 300, 1500], ids=["passed already", "while it is held back", "later"])
def test_a_deadline_is_met_within_two_seconds(scribe: Scribe, ms: int) -> None:
    warm = header(deadline=datetime.now(UTC))
    scribe.request(warm)  # so that joining the groups is not measured
    scribe.wait(warm, "EXPIRED")
    job = header(deadline=datetime.now(UTC) + timedelta(milliseconds=ms))
    scribe.request(job)
    scribe.wait(job, "EXPIRED")
    [(late_s,)] = scribe.rows(
        "SELECT extract(epoch FROM decided_at - %s)::float FROM outcomes WHERE job_id = %s", job.deadline, job.job_id
    )
    assert 0 <= late_s < 2


@pytest.mark.usefixtures("services")
def test_a_job_expires_while_it_waits_for_a_retry_that_would_come_too_late(scribe: Scribe) -> None:
    job = header(deadline=datetime.now(UTC) + timedelta(seconds=1))
    scribe.request(job)
    scribe.result(job, "retry", retry_in_ms=3_600_000)
    scribe.wait(job, "EXPIRED")
    assert len(scribe.all_of(scribe.names.requests("echo"))) == 1


@pytest.mark.usefixtures("services")
def test_a_running_job_expires_at_its_deadline(scribe: Scribe) -> None:
    job = header(deadline=datetime.now(UTC) + timedelta(seconds=3))
    scribe.request(job)

    def runs() -> bool:
        scribe.progress(job)  # repeatedly: it is read only once the progress follower has joined its group
        return scribe.state(job) == "PROCESSING"

    wait_until(runs, lambda: f"it is {scribe.state(job)}")
    scribe.wait(job, "EXPIRED")


@pytest.mark.usefixtures("services")
def test_a_storm_of_deadlines_is_over_soon(scribe: Scribe) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=4)
    scribe.requests(header(deadline=deadline) for _ in range(5000))
    wait_until(
        lambda: scribe.rows("SELECT count(*) FROM runs WHERE state = 'EXPIRED'") == [(5000,)],
        lambda: f"{scribe.rows('SELECT state, count(*) FROM runs GROUP BY state')}",
    )
    assert scribe.rows("SELECT kind, count(*) FROM history GROUP BY kind ORDER BY kind") == [
        ("request", 5000),
        ("result", 5000),
    ]


@pytest.mark.usefixtures("services")
def test_a_job_is_released_at_its_time_as_the_same_attempt(settings: Settings, scribe: Scribe) -> None:
    begin = datetime.now(UTC) + timedelta(seconds=2)
    job = header(not_before=begin, deadline=begin + timedelta(hours=1))
    scribe.request(job)
    scribe.wait(job, "PENDING")
    assert scribe.rows("SELECT due_kind, due_at FROM runs") == [("not_before", begin)]
    _, released = scribe.messages(scribe.names.requests("echo"), 2)
    assert released.timestamp()[1] / 1000 >= begin.timestamp() - 0.01
    header_ = wiring.codec(settings).decode(released.value())["header"]
    assert (header_["attempt"], header_["source_coordinates"]["topic"]) == (1, scribe.names.requests("echo"))
    wait_until(
        lambda: scribe.rows("SELECT state, attempt, due_kind FROM runs") == [("PENDING", 1, "deadline")],
        lambda: f"{scribe.rows('SELECT state, attempt, due_kind FROM runs')}",
    )


@pytest.mark.usefixtures("services")
def test_a_worker_runs_a_job_no_earlier_than_it_may_begin(settings: Settings, scribe: Scribe) -> None:
    with running(settings, ["worker", "echo"]), Submitter(settings) as submitter:
        submitter.submit("echo", EchoInput("now"))
        wait_until(lambda: len(scribe.rows("SELECT FROM outcomes")) == 1, lambda: "the worker does nothing")
        begin = datetime.now(UTC) + timedelta(seconds=2)
        later = submitter.submit("echo", EchoInput("later"), not_before=begin)
        done = "SELECT attempt, started_at >= %s FROM outcomes WHERE job_id = %s"
        wait_until(lambda: bool(scribe.rows(done, begin, later.job_id)), lambda: "it was not run")
        assert scribe.rows(done, begin, later.job_id) == [(1, True)]
    assert scribe.rows(
        "SELECT kind, count(*) FROM history WHERE job_id = %s GROUP BY kind ORDER BY kind", later.job_id
    ) == [
        ("request", 2),
        ("result", 1),
    ]


@pytest.mark.usefixtures("services")
def test_a_retry_whose_request_is_gone_from_the_log_ends_the_job(settings: Settings, scribe: Scribe) -> None:
    job = header()
    scribe.result(job, "retry", retry_in_ms=50)  # without coordinates, and its request was never read
    scribe.wait(job, "FAILED")
    with wiring.job_store(settings) as store:
        view = store.job(job.job_id)
    assert view is not None
    assert view.error is not None
    assert view.error.code == "NOT_FOUND"


@pytest.mark.usefixtures("services")
def test_retries_whose_requests_the_log_has_deleted_end(settings: Settings, scribe: Scribe) -> None:
    jobs = [header() for _ in range(12)]
    places = {job.job_id: scribe.request(job) for job in jobs}
    first = places[jobs[6].job_id]
    # Deletes one partition up to here; the other partition and later records are kept.
    cut = TopicPartition(first.topic, first.partition, first.offset + 1)
    admin = kafka.admin(settings)
    admin.delete_records([cut])[cut].result(10)
    for job in jobs:
        scribe.result(job, "retry", retry_in_ms=1)
    gone = {job for job, at in places.items() if at.partition == first.partition and at.offset <= first.offset}

    def is_tried_again(job: JobHeader) -> bool:
        return scribe.rows("SELECT attempt FROM runs WHERE job_id = %s", job.job_id) == [(2,)]

    for job in jobs:
        if job.job_id in gone:
            scribe.wait(job, "FAILED")
        else:
            wait_until(
                partial(is_tried_again, job),
                lambda: "it was not tried again",
            )


@pytest.mark.usefixtures("services")
def test_an_accepted_job_that_never_reached_the_log_is_sent_and_one_that_did_is_not(
    settings: Settings, scribe: Scribe
) -> None:
    lost, known = header(labels={"site": "north"}), header()
    with wiring.payload_store(settings) as store:
        assert store.accept(scribe.payload(known), check_in_s=3600.0)
        scribe.request(known)
        scribe.wait(known, "PENDING")
        scribe.rows("UPDATE payloads SET check_at = now() RETURNING 1")
        assert store.accept(scribe.payload(lost), check_in_s=0.0)
        for job in (lost, known):
            assert not store.accept(scribe.payload(job))
    scribe.wait(lost, "PENDING")
    first, second = scribe.messages(scribe.names.requests("echo"), 2)
    assert {message.key().decode() for message in (first, second)} == {lost.job_id, known.job_id}
    assert first.headers() != second.headers()
    assert scribe.rows("SELECT labels FROM jobs WHERE job_id = %s", lost.job_id) == [({"site": "north"},)]
    for job in (lost, known):
        scribe.result(job)
        scribe.wait(job, "COMPLETED")
    scribe.rows("UPDATE payloads SET check_at = now() RETURNING 1")
    wait_until(lambda: scribe.rows("SELECT count(*) FROM payloads") == [(0,)], lambda: "payloads are never deleted")
    assert len(scribe.all_of(scribe.names.requests("echo"))) == 2


def test_one_leads_and_the_second_takes_over_when_it_is_gone(settings: Settings) -> None:
    first, second = PostgresDueStore(settings.database), PostgresDueStore(settings.database)
    assert (first.lead(), second.lead(), first.lead()) == (True, False, True)
    first.close()
    wait_until(second.lead, lambda: "there is no leader")
    second.close()


def test_the_second_timekeeper_continues_where_the_first_stopped(settings: Settings, scribe: Scribe) -> None:
    sink, first, second = Sink(settings, notify=False), Timekeeper(settings), Timekeeper(settings)
    with in_thread(sink.run), in_thread(first.run) as stop_first, in_thread(second.run):
        for job, total in ((header(), 2), (header(), 4)):
            scribe.request(job)
            scribe.result(job, "retry", retry_in_ms=50)
            scribe.messages(scribe.names.requests("echo"), total)
            stop_first.set()


def test_prune_deletes_runs_decided_long_ago_and_nothing_else(settings: Settings, scribe: Scribe) -> None:
    with in_thread(Sink(settings, notify=False).run):
        old, fresh, undelivered = header(), header(), header(callback_url="http://127.0.0.1:9/")
        for job in (old, fresh, undelivered):
            scribe.request(job)
            scribe.result(job)
            scribe.wait(job, "COMPLETED")
    for job in (old, undelivered):
        scribe.rows(
            "UPDATE outcomes SET decided_at = now() - interval '60 days' WHERE job_id = %s RETURNING 1", job.job_id
        )
    store = PostgresDueStore(settings.database)
    assert store.prune(timedelta(days=30), 100) == 1
    assert store.prune(timedelta(days=30), 100) == 0
    store.close()
    for table in ("jobs", "runs", "outcomes"):
        kept = {str(row[0]) for row in scribe.rows(f"SELECT job_id FROM {table}")}
        assert kept == {fresh.job_id, undelivered.job_id}
    assert scribe.rows("SELECT count(*) FROM history WHERE job_id = %s", old.job_id) == [(0,)]
