"""Topics are described by how much they hold, since when, their schemas and their readers."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import TopicPartition

from schemas.errors import NotFound
from schemas.records import ECHO, EchoInput
from schemas.topics import DAY_MS
from streams.admin.topic_views import topic_view, topic_views
from streams.client.submitter import Submitter
from streams.log import kafka
from streams.log.memory import MemoryLog
from streams.settings import Settings

TOPIC = "requests.echo"
DAY = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_topic_has_its_records_size_times_and_retention(settings: Settings) -> None:
    producer = kafka.producer(settings)
    for hours, partition in ((1, 0), (0, 0), (5, 1)):
        at_ms = int((DAY + timedelta(hours=hours)).timestamp() * 1000)
        producer.produce(TOPIC, b"x" * 100, b"key", partition=partition, timestamp=at_ms, headers=[("h", b"v")])
    producer.flush()
    view, partitions = topic_view(settings, [ECHO], TOPIC)
    assert (view.partitions, view.records, view.retention_ms, view.compacted) == (2, 3, 14 * DAY_MS, False)
    assert view.bytes is not None
    assert 300 <= view.bytes <= 400
    assert (view.first_at, view.last_at) == (DAY + timedelta(hours=1), DAY + timedelta(hours=5))
    assert [(each.begin, each.end, each.last_at) for each in partitions] == [
        (0, 2, DAY + timedelta(hours=1)),
        (0, 1, DAY + timedelta(hours=5)),
    ]


def test_a_topic_names_its_schemas_and_every_group_that_reads_it(settings: Settings) -> None:
    with Submitter(settings) as submitter:
        for n in range(3):
            submitter.submit("echo", EchoInput(str(n)), order_key="one")
    with closing(kafka.consumer(settings, "a-foreign-group")) as consumer:
        consumer.commit(offsets=[TopicPartition(TOPIC, 0, 0)], asynchronous=False)
    view, _ = topic_view(settings, [ECHO], TOPIC)
    assert view.readers == ["a-foreign-group", "workers.echo"]
    assert view.schema_id is not None
    assert view.schemas == {view.schema_id: 3}
    assert topic_view(settings, [ECHO], "results.echo")[0].readers == ()


def test_a_declared_topic_that_is_missing_is_listed_as_such(settings: Settings) -> None:
    kafka.admin(settings).delete_topics(["results.echo"])["results.echo"].result()
    views = {view.name: view for view in topic_views(settings, [ECHO])}
    assert (views["results.echo"].exists, views[TOPIC].exists) == (False, True)
    assert views["outcomes.echo"].compacted
    with pytest.raises(NotFound):
        topic_view(settings, [ECHO], "results.echo")


def test_a_topic_of_another_program_is_shown_too(settings: Settings) -> None:
    log = MemoryLog.at(settings.bootstrap)
    assert log is not None
    log.create_topic("foreign", 1)
    view, _ = topic_view(settings, [ECHO], "foreign")
    assert (view.declared, view.records, view.bytes, view.first_at) == (False, 0, None, None)
