"""The sink on the real stack while Postgres fails over or hangs, and while a topic is made again."""

from __future__ import annotations

import threading
from contextlib import closing

import psycopg
import pytest
from confluent_kafka.cimpl import NewTopic

from schemas.records import JobHeader
from streams.log import kafka
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.scribe import Scribe, header
from tests.harness.services import Service
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack


def write(scribe: Scribe, count: int) -> tuple[list[JobHeader], set[bytes]]:
    """Write many jobs with their results, and wait once."""
    jobs = [header() for _ in range(count)]
    scribe.requests(jobs)
    return jobs, set(scribe.results(jobs))


def all_published(scribe: Scribe, values: set[bytes]) -> None:
    wait_until(lambda: set(scribe.outcomes()) >= values, lambda: f"{len(set(scribe.outcomes()) & values)} outcomes")


def test_a_sink_that_is_stopped_while_postgres_drops_its_connections_loses_no_job(
    settings: Settings, scribe: Scribe
) -> None:
    sink = Service(settings, ["sink", "--no-notify"])
    first, values = write(scribe, 1)
    scribe.wait(first[0], "COMPLETED")
    jobs, more = write(scribe, 1500)
    over = threading.Event()

    def drop_connections() -> None:
        with psycopg.connect(settings.database, autocommit=True) as connection:
            while not over.wait(0.002):
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'sluice sink' AND datname = current_database()"
                )

    dropping = threading.Thread(target=drop_connections)
    dropping.start()
    try:
        sink.process.terminate()
        sink.process.wait(40)
    finally:
        over.set()
        dropping.join()
    with in_thread(Sink(settings, notify=False).run):
        all_published(scribe, values | more)
    assert scribe.rows("SELECT count(*) FROM outcomes") == [(len(jobs) + 1,)]


def test_a_store_that_hangs_for_several_poll_intervals_costs_only_time(settings: Settings, scribe: Scribe) -> None:
    """The member is expelled from its group, and joins it again."""
    short = settings.model_copy(update={"kafka_config": {**settings.kafka_config, "max.poll.interval.ms": 1000}})
    sink = Sink(short, notify=False)
    with in_thread(sink.run):
        first, values = write(scribe, 1)
        scribe.wait(first[0], "COMPLETED")
        with psycopg.connect(settings.database) as connection:
            connection.execute("LOCK TABLE outcomes IN ACCESS EXCLUSIVE MODE")
            _, more = write(scribe, 20)
            threading.Event().wait(3.5)  # the time is what is tested: several poll intervals
        all_published(scribe, values | more)
    assert scribe.rows("SELECT count(*) FROM outcomes") == [(21,)]


def test_a_topic_made_again_under_a_running_sink_is_read_from_its_beginning(
    settings: Settings, scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.sink.sink.TOPICS_S", 0.5)
    topic, admin = scribe.names.results("echo"), kafka.admin(settings)
    sink = Sink(settings, notify=False)
    with in_thread(sink.run):
        _, values = write(scribe, 40)
        all_published(scribe, values)
        admin.delete_topics([topic])[topic].result()
        wait_until(lambda: topic not in admin.list_topics(timeout=5).topics, lambda: "the topic is still there")
        admin.create_topics([NewTopic(topic, settings.partitions, 1)])[topic].result()
        with closing(Scribe(settings)) as other:  # a producer that does not know the former topic
            _, more = write(other, 10)
        all_published(scribe, values | more)
        assert sink.health(ask=False).details["topics_made_again"] == 1
