"""Differences between the declared topics and those on the broker."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from pydantic import SecretStr

from schemas.errors import Conflict
from schemas.records import ECHO
from schemas.registry import MemoryRegistry
from schemas.topics import Topic, TopicNames, declared
from streams.admin import group_offsets, subjects, topics
from streams.admin.changes import Change, ChangeKind
from streams.admin.group_offsets import worker_groups
from streams.admin.topics import BrokerTopic, differences
from streams.log import kafka
from streams.settings import Settings

TOPIC = Topic("outcomes.echo", 12, 1000, None, compacted=True)


def there(partitions: int = 12, config: Mapping[str, str] = {}) -> dict[str, BrokerTopic]:
    return {TOPIC.name: BrokerTopic(partitions, {**TOPIC.config(), **config})}


def test_a_topic_that_is_missing_is_made() -> None:
    (change,) = differences([TOPIC], {})
    assert (change.kind, change.target) == (ChangeKind.CREATE_TOPIC, "outcomes.echo")


def test_a_topic_as_declared_is_left_alone() -> None:
    assert differences([TOPIC], there()) == []


def test_the_order_of_clean_up_policies_does_not_matter() -> None:
    assert differences([TOPIC], there(config={"cleanup.policy": "delete,compact"})) == []


def test_another_retention_is_altered() -> None:
    assert differences([TOPIC], there(config={"retention.ms": "5"})) == [
        Change(ChangeKind.ALTER_CONFIG, "outcomes.echo", "retention.ms 5 → 1000")
    ]


def test_partitions_are_added() -> None:
    assert differences([TOPIC], there(4)) == [Change(ChangeKind.ADD_PARTITIONS, "outcomes.echo", "4 → 12")]


def test_partitions_are_never_removed_but_reported() -> None:
    (change,) = differences([TOPIC], there(24))
    assert change.kind is ChangeKind.WARNING
    assert "can't be removed" in change.detail


def test_a_worker_group_reads_both_lanes_under_the_prefix() -> None:
    (group,) = worker_groups(Settings(topic_prefix="lab."), [ECHO])
    assert (group.name, group.topics) == ("lab.workers.echo", ("lab.requests.echo", "lab.requests.echo.bulk"))


def wanted() -> dict[str, str]:
    return {t.subject: t.schema for t in declared([ECHO], TopicNames()) if t.schema is not None}


def test_every_subject_is_registered_once() -> None:
    registry = MemoryRegistry()
    planned = subjects.plan(registry, wanted())
    assert subjects.apply(registry, wanted()) == planned
    assert registry.subjects() == sorted(wanted())
    assert subjects.plan(registry, wanted()) == subjects.apply(registry, wanted()) == []


class Strict(MemoryRegistry):
    """The twin, with one rule: a subject's schema never changes."""

    def check(self, subject: str, schema: str) -> list[str]:
        return ["a field has no default"] if subject in self.subjects() else []


def test_a_schema_that_does_not_fit_stops_everything_before_anything_is_registered() -> None:
    registry = Strict()
    registry.register("results.echo-value", '"string"')
    with pytest.raises(Conflict, match=r"results\.echo-value.*a field has no default"):
        subjects.apply(registry, wanted())
    assert registry.subjects() == ["results.echo-value"]


def test_the_plan_warns_of_a_schema_that_does_not_fit() -> None:
    registry = Strict()
    registry.register("results.echo-value", '"string"')
    warnings = [change for change in subjects.plan(registry, wanted()) if change.kind is ChangeKind.WARNING]
    assert [change.target for change in warnings] == ["results.echo-value"]


@pytest.fixture
def echo(tmp_path: Path) -> Settings:
    """An installation on the twins, with three requests in each partition of which the group has run one."""
    name = f"memory:{uuid.uuid4().hex}"
    made = Settings(
        kafka_bootstrap_servers=name,
        schema_registry_url=name,
        database_url=SecretStr(name),
        home=tmp_path,
        partitions=2,
    )
    topics.apply(made, [ECHO])
    producer = kafka.producer(made)
    for partition in (0, 1) * 3:
        producer.produce(made.topics.requests("echo"), b"x", partition=partition)
    producer.flush(5)
    commit(made, 1)
    return made


def commit(settings: Settings, offset: int) -> None:
    with closing(kafka.consumer(settings, "workers.echo", **kafka.OUTSIDE)) as consumer:
        consumer.commit(offsets=[TopicPartition("requests.echo", n, offset) for n in (0, 1)], asynchronous=False)


def committed(settings: Settings) -> list[int]:
    with closing(kafka.consumer(settings, "workers.echo", **kafka.OUTSIDE)) as consumer:
        return [p.offset for p in consumer.committed([TopicPartition("requests.echo", n) for n in (0, 1)])]


def delete_before(settings: Settings, offset: int) -> None:
    found = kafka.admin(settings).delete_records([TopicPartition("requests.echo", 0, offset)])
    assert [future.result(5) for future in found.values()]


def test_an_offset_that_the_log_still_has_is_left_alone(echo: Settings) -> None:
    delete_before(echo, 1)
    assert topics.plan(echo, [ECHO]) == []
    commit(echo, 3)
    assert topics.plan(echo, [ECHO]) == []


def test_requests_that_left_the_log_before_they_were_run_are_named_and_passed(echo: Settings) -> None:
    delete_before(echo, 2)
    (change,) = topics.plan(echo, [ECHO])
    assert (change.kind, change.target) == (ChangeKind.RESET_OFFSETS, "workers.echo")
    assert "1 partitions: requests left the log before they were run" in change.detail
    assert topics.apply(echo, [ECHO]) == [change]
    assert committed(echo) == [2, 1]
    assert topics.plan(echo, [ECHO]) == []


def test_a_topic_that_was_made_again_is_read_from_its_beginning(echo: Settings) -> None:
    commit(echo, 40)
    (change,) = topics.plan(echo, [ECHO])
    assert change.kind is ChangeKind.RESET_OFFSETS
    assert "2 partitions: the log ends before the group's offset" in change.detail
    topics.apply(echo, [ECHO])
    assert committed(echo) == [0, 0]


def test_the_router_begins_at_the_end_of_topics_that_are_older_than_its_rules(echo: Settings, tmp_path: Path) -> None:
    producer = kafka.producer(echo)
    producer.produce("outcomes.echo", b"old", partition=1)
    producer.flush(5)
    (tmp_path / "rules.toml").write_text(
        """
[[join]]
name = "j"
of.a.processor = "echo"
of.b.upload.kind = "x"
submit = [{ processor = "echo", input = { message = "x" } }]
"""
    )
    ruled = echo.model_copy(update={"router_rules": tmp_path / "rules.toml"})
    changes = topics.apply(ruled, [ECHO])
    assert [(change.kind, change.target) for change in changes] == [
        (ChangeKind.CREATE_TOPIC, "join-parts"),
        (ChangeKind.CREATE_TOPIC, "join-state"),
        (ChangeKind.SEED_OFFSETS, "router"),
    ]
    with closing(kafka.consumer(echo, "router", **kafka.OUTSIDE)) as consumer:
        read = [TopicPartition(topic, n) for topic in ("uploads", "outcomes.echo", "join-parts") for n in (0, 1)]
        assert [p.offset for p in consumer.committed(read)] == [0, 0, 0, 1, 0, 0]
    assert topics.plan(ruled, [ECHO]) == []


def test_the_partitions_of_a_joins_topics_are_never_added(echo: Settings, tmp_path: Path) -> None:
    fixed = Topic("t", 4, 1000, None, fixed=True)
    assert topics.differences([fixed], {"t": topics.BrokerTopic(2, fixed.config())}) == []


def test_a_client_that_remembers_fewer_partitions_is_made_to_ask_again() -> None:
    """librdkafka keeps what it knew of a topic for minutes."""
    asked: list[str] = []

    class Consumer:
        def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
            if not asked:
                raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
            return 3, 9

        def list_topics(self, topic: str, timeout: float) -> None:
            asked.append(topic)

    consumer: Any = Consumer()
    assert group_offsets._bounds(consumer, TopicPartition("wider", 2)) == (3, 9)
    assert asked == ["wider"]
