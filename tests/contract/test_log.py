"""Promises of the log, one suite for Kafka (through confluent_kafka's clients) and its twin in memory.

Each test makes a topic of its own under a new name, and goes through `streams.log.kafka` as the engine does.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.cimpl import NewPartitions, NewTopic

from streams.log import kafka
from streams.log.memory import MemoryLog
from streams.log.port import LogAdmin, LogConsumer, LogProducer
from streams.log.retry import retry_until_ready
from streams.settings import Settings
from tests.harness.waiting import wait_until

PATIENCE_S = 20.0
PARTITIONS = 2


class Log:
    """A fresh topic with two partitions, and clients that are closed at the end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topic = f"contract.{uuid.uuid4().hex[:10]}"
        self.admin: LogAdmin = kafka.admin(settings)
        self.producer: LogProducer = kafka.producer(settings)
        self._open: list[LogConsumer] = []
        self.make(self.topic)

    def make(self, topic: str, **config: str) -> None:
        made = self.admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=config)])
        made[topic].result(PATIENCE_S)
        # Kafka answers once the controller has made it; brokers list it a moment later.
        until(lambda: topic in self.admin.list_topics(timeout=PATIENCE_S).topics)

    def write(self, *values: str, **more: Any) -> list[int]:
        """Their offsets."""
        offsets: list[int] = []

        def report(error: KafkaError | None, message: Any) -> None:
            assert error is None, error
            offsets.append(message.offset())

        for value in values:
            self.producer.produce(self.topic, value.encode(), on_delivery=report, **more)
        assert self.producer.flush(PATIENCE_S) == 0
        return offsets

    def member(self, group: str, **more: Any) -> LogConsumer:
        made: LogConsumer = kafka.consumer(self.settings, group, **more)
        self._open.append(made)
        return made

    def reader(self, *places: TopicPartition, **more: Any) -> LogConsumer:
        made: LogConsumer = kafka.reader(self.settings, **more)
        self._open.append(made)
        made.assign(list(places))
        return made

    def at(self, partition: int, offset: int = OFFSET_BEGINNING) -> TopicPartition:
        return TopicPartition(self.topic, partition, offset)

    def close(self) -> None:
        for consumer in self._open:
            consumer.close()
        self.admin.delete_topics([self.topic])[self.topic].result(PATIENCE_S)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.stack)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    address = f"memory:{uuid.uuid4().hex}"
    if request.param == "kafka":
        address = request.getfixturevalue("stack")["KAFKA_BOOTSTRAP_SERVERS"]
    made = Log(Settings(kafka_bootstrap_servers=address, home=tmp_path))
    yield made
    made.close()
    MemoryLog.forget(address.removeprefix("memory:"))


def until(enough: Callable[[], bool], step: Callable[[], Any] | None = None) -> None:
    """Wait until it is enough, with `step` (or a short pause) between two checks."""
    wait_until(enough, lambda: "it did not come", PATIENCE_S, *([step] if step else []))


def read(consumer: LogConsumer, count: int) -> list[Any]:
    """Read `count` messages, errors included."""
    found: list[Any] = []
    until(lambda: len(found) >= count, lambda: found.extend(consumer.consume(count - len(found), 0.2)))
    return found


def first(consumer: LogConsumer) -> Any:
    return read(consumer, 1)[0]


def values(messages: list[Any]) -> list[str]:
    assert [message.error() for message in messages] == [None] * len(messages)
    return [message.value().decode() for message in messages]


# ── records ──


def test_a_partitions_records_come_in_the_order_in_which_they_were_written(log: Log) -> None:
    wrote = [f"{n}" for n in range(50)]
    assert log.write(*wrote, partition=1) == list(range(50))
    messages = read(log.reader(log.at(1)), 50)
    assert values(messages) == wrote
    assert [message.offset() for message in messages] == list(range(50))


def test_a_record_comes_out_as_it_was_given(log: Log) -> None:
    at = 1_700_000_000_123
    log.write("value", key="key", timestamp=at, headers=[("one", b"1"), ("one", "again"), ("none", None)], partition=0)
    log.producer.produce(log.topic, None, b"tombstone", partition=0)
    log.producer.flush(PATIENCE_S)
    message, tombstone = read(log.reader(log.at(0)), 2)
    assert (message.topic(), message.partition(), message.offset()) == (log.topic, 0, 0)
    assert (message.key(), message.value(), len(message)) == (b"key", b"value", 5)
    assert message.headers() == [("one", b"1"), ("one", b"again"), ("none", None)]
    assert message.timestamp()[1] == at
    assert (tombstone.key(), tombstone.value(), tombstone.headers()) == (b"tombstone", None, None)
    assert tombstone.timestamp()[1] > at


def test_a_key_decides_the_partition_as_in_every_other_client(log: Log) -> None:
    """As Java's murmur2 has it: 1, 2, 3 and 4 to 7 bytes, a whole word and a rest, and none."""
    keys = ["a", "bc", "def", "ghij", "klmno", "pqrstu", "vwxyz12", "ordering key", "019a3c5e-7c1b-7d2e", ""]
    places: dict[str, int] = {}
    for key in keys:
        log.producer.produce(log.topic, b"", key, on_delivery=partial(_note, places, key))
    log.producer.flush(PATIENCE_S)
    assert [places[key] for key in keys] == [0, 0, 0, 1, 0, 1, 1, 0, 0, 1]


def _note(places: dict[str, int], key: str, error: KafkaError | None, message: Any) -> None:
    places[key] = message.partition()


def test_delivery_reports_come_while_the_producer_polls_and_carry_the_offset(log: Log) -> None:
    reports: list[Any] = []
    for n in range(3):
        log.producer.produce(log.topic, b"%d" % n, partition=0, on_delivery=lambda *report: reports.append(report))
    assert len(log.producer) == 3
    until(lambda: len(reports) == 3, lambda: log.producer.poll(0.2))
    assert [(error, message.offset()) for error, message in reports] == [(None, 0), (None, 1), (None, 2)]
    assert len(log.producer) == 0


def test_a_record_that_the_broker_finds_too_large_is_reported_as_such(log: Log) -> None:
    reports: list[Any] = []
    log.producer.produce(log.topic, b"x" * 1_100_000, on_delivery=lambda error, _: reports.append(error))
    log.producer.flush(PATIENCE_S)
    assert [error.code() for error in reports] == [KafkaError.MSG_SIZE_TOO_LARGE]
    assert not reports[0].retriable()


def test_a_record_that_the_client_may_not_send_is_refused_at_once(log: Log) -> None:
    with pytest.raises(KafkaException) as refused:
        log.producer.produce(log.topic, b"x" * 9_000_000)
    assert refused.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert len(log.producer) == 0


# ── reading by assignment ──


def test_a_reader_that_seeks_reads_on_from_there(log: Log) -> None:
    log.write("a", "b", "c", partition=0)
    reader = log.reader(log.at(0))
    assert values(read(reader, 3)) == ["a", "b", "c"]
    assert reader.position([log.at(0)])[0].offset == 3
    reader.seek(log.at(0, 1))
    assert values(read(reader, 2)) == ["b", "c"]
    with pytest.raises(KafkaException):
        reader.seek(log.at(1, 0))


def test_a_paused_partition_is_silent_and_loses_nothing(log: Log) -> None:
    log.write("quiet", partition=0)
    log.write("loud", partition=1)
    reader = log.reader(log.at(0), log.at(1))
    reader.pause([log.at(0)])
    assert values(read(reader, 1)) == ["loud"]
    assert reader.poll(0.1) is None
    reader.resume([log.at(0)])
    assert values(read(reader, 1)) == ["quiet"]


def test_the_end_of_a_partition_is_reported_once_for_each_end_if_asked_for(log: Log) -> None:
    log.write("a", partition=0)
    reader = log.reader(log.at(0), **{"enable.partition.eof": True})
    record, end = read(reader, 2)
    assert record.error() is None
    assert (end.error().code(), end.partition(), end.offset()) == (KafkaError._PARTITION_EOF, 0, 1)
    assert reader.poll(0.1) is None
    log.write("b", partition=0)
    assert values(read(reader, 1)) == ["b"]
    assert first(reader).error().code() == KafkaError._PARTITION_EOF


def test_a_reader_that_begins_at_the_end_gets_only_later_records(log: Log) -> None:
    log.write("old", partition=0)
    reader = log.reader(log.at(0, OFFSET_END), **{"enable.partition.eof": True})
    assert first(reader).error().code() == KafkaError._PARTITION_EOF
    log.write("new", partition=0)
    assert values(read(reader, 1)) == ["new"]


def test_the_watermarks_frame_what_is_kept(log: Log) -> None:
    reader = log.reader()
    look = partial(reader.get_watermark_offsets, log.at(0), PATIENCE_S)
    assert retry_until_ready(look) == (0, 0)
    log.write("a", "b", "c", partition=0)
    log.admin.delete_records([log.at(0, 2)])[log.at(0, 2)].result(PATIENCE_S)
    assert look() == (2, 3)


@pytest.mark.parametrize(("reset", "found"), [("earliest", "c"), ("error", None)])
def test_an_offset_that_is_gone_is_an_error_or_the_beginning_as_was_asked(
    log: Log, reset: str, found: str | None
) -> None:
    log.write("a", "b", "c", partition=0)
    log.admin.delete_records([log.at(0, 2)])[log.at(0, 2)].result(PATIENCE_S)
    message = first(log.reader(log.at(0, 0), **{"auto.offset.reset": reset}))
    if found is None:
        assert message.error().code() == KafkaError._AUTO_OFFSET_RESET
        assert message.partition() == 0
    else:
        assert values([message]) == [found]


def test_an_offset_beyond_the_end_is_gone_too(log: Log) -> None:
    log.write("a", partition=0)
    message = first(log.reader(log.at(0, 10), **{"auto.offset.reset": "error"}))
    assert message.error().code() == KafkaError._AUTO_OFFSET_RESET


def test_a_time_finds_the_first_record_at_or_after_it(log: Log) -> None:
    for at in (1000, 2000, 3000):
        log.write("x", partition=0, timestamp=at)
    reader = log.reader()
    found = [reader.offsets_for_times([log.at(0, at)], PATIENCE_S)[0].offset for at in (1, 2000, 2001, 3001)]
    assert found == [0, 1, 2, OFFSET_END]


# ── topics ──


def test_topics_are_listed_described_and_distinguished_by_their_ids(log: Log) -> None:
    assert set(log.admin.list_topics(timeout=PATIENCE_S).topics[log.topic].partitions) == {0, 1}
    first_id = describe(log).topic_id
    assert len(str(first_id)) == 22
    log.admin.delete_topics([log.topic])[log.topic].result(PATIENCE_S)
    until(lambda: log.topic not in log.admin.list_topics(timeout=PATIENCE_S).topics)
    log.make(log.topic)
    assert str(describe(log).topic_id) != str(first_id)


def test_an_unknown_topic_is_listed_with_an_error(log: Log) -> None:
    unknown = "contract.not-made"
    listed = log.reader().list_topics(unknown, timeout=PATIENCE_S).topics[unknown]
    assert listed.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    future = log.admin.describe_topics(TopicCollection([unknown]))[unknown]
    with pytest.raises(KafkaException) as refused:
        future.result(PATIENCE_S)
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_making_a_topic_twice_is_refused_and_adding_partitions_is_not(log: Log) -> None:
    with pytest.raises(KafkaException) as refused:
        log.make(log.topic)
    assert refused.value.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
    log.admin.create_partitions([NewPartitions(log.topic, 3)])[log.topic].result(PATIENCE_S)
    listed = log.admin.list_topics
    until(lambda: len(listed(timeout=PATIENCE_S).topics[log.topic].partitions) == 3)


def describe(log: Log) -> Any:
    asked = TopicCollection([log.topic])
    return retry_until_ready(lambda: log.admin.describe_topics(asked)[log.topic].result(PATIENCE_S))


# ── groups ──


class Heard:
    """A member of a group; records its rebalance callbacks."""

    def __init__(self, log: Log, group: str, **more: Any) -> None:
        self.owns: set[int] = set()
        self.events: list[str] = []
        self.answers: list[Any] = []
        self.consumer = log.member(
            group, **{"auto.offset.reset": "earliest", "on_commit": lambda *answer: self.answers.append(answer), **more}
        )
        self.consumer.subscribe([log.topic], self._assigned, self._revoked, self._lost)

    def _assigned(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self.events.append("assigned")
        self.owns |= {place.partition for place in partitions}
        consumer.incremental_assign(partitions)

    def _revoked(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self.events.append("revoked")
        self.owns -= {place.partition for place in partitions}
        consumer.incremental_unassign(partitions)

    def _lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self.events.append("lost")
        self.owns -= {place.partition for place in partitions}
        consumer.incremental_unassign(partitions)


@pytest.fixture
def group() -> str:
    return f"contract.{uuid.uuid4().hex[:10]}"


def test_a_lone_member_gets_every_partition_from_within_poll(log: Log, group: str) -> None:
    member = Heard(log, group)
    assert member.events == []
    until(lambda: member.owns == {0, 1}, lambda: member.consumer.poll(0.1))
    assert {place.partition for place in member.consumer.assignment()} == {0, 1}


def test_offsets_and_their_metadata_are_the_groups_and_outlive_the_member(log: Log, group: str) -> None:
    log.write("a", "b", "c", partition=0)
    member = Heard(log, group)
    until(lambda: member.owns == {0, 1}, lambda: member.consumer.poll(0.1))
    kept = TopicPartition(log.topic, 0, 2, "holes 3-4")
    assert member.consumer.commit(offsets=[kept], asynchronous=False) is not None
    member.consumer.close()
    after = log.member(group)
    found = after.committed([log.at(0), log.at(1)], timeout=PATIENCE_S)
    assert [(place.offset, place.metadata or "") for place in found] == [(2, "holes 3-4"), (OFFSET_INVALID, "")]
    after.subscribe([log.topic])
    found = [message for message in read(after, 2) if message.error() is None]
    assert values(found) == ["c"]  # the other partition has no offset, and `error` says so


def test_an_asynchronous_commit_is_answered_from_within_poll(log: Log, group: str) -> None:
    log.write("a", partition=0)
    member = Heard(log, group)
    message = first(member.consumer)
    assert member.consumer.commit(message=message, asynchronous=True) is None
    until(lambda: bool(member.answers), lambda: member.consumer.poll(0.1))
    error, places = member.answers[0]
    assert error is None
    assert [(place.topic, place.partition, place.offset) for place in places] == [(log.topic, 0, 1)]
    assert member.consumer.committed([log.at(0)], timeout=PATIENCE_S)[0].offset == 1


def test_a_second_member_takes_its_share_once_the_first_has_given_it_up(log: Log, group: str) -> None:
    one = Heard(log, group)
    until(lambda: one.owns == {0, 1}, lambda: one.consumer.poll(0.1))
    two = Heard(log, group)

    def both() -> None:
        one.consumer.poll(0.05)
        two.consumer.poll(0.05)
        assert not one.owns & two.owns

    until(lambda: len(one.owns) == len(two.owns) == 1, both)
    assert one.events[:2] == ["assigned", "revoked"]
    two.consumer.close()
    assert two.events == ["assigned", "revoked"]
    until(lambda: one.owns == {0, 1}, lambda: one.consumer.poll(0.1))


def test_a_stranger_can_not_commit_while_the_group_has_members(log: Log, group: str) -> None:
    member = Heard(log, group)
    until(lambda: bool(member.owns), lambda: member.consumer.poll(0.1))
    stranger = log.member(group, **{"group.protocol": "classic"})
    with pytest.raises(KafkaException) as refused:
        stranger.commit(offsets=[log.at(0, 1)], asynchronous=False)
    assert refused.value.args[0].code() in (
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.NON_EMPTY_GROUP,
        KafkaError.STALE_MEMBER_EPOCH,
    )
    member.consumer.close()
    stranger.commit(offsets=[log.at(0, 1)], asynchronous=False)
    assert stranger.committed([log.at(0)], timeout=PATIENCE_S)[0].offset == 1


def test_a_group_without_an_offset_is_an_error_where_guessing_is_forbidden(log: Log, group: str) -> None:
    log.write("a", partition=0)
    member = Heard(log, group, **{"auto.offset.reset": "error"})
    message = first(member.consumer)
    assert message.error().code() == KafkaError._AUTO_OFFSET_RESET


def test_partitions_that_are_added_reach_the_members(log: Log, group: str) -> None:
    member = Heard(log, group, **{"metadata.max.age.ms": 500, "topic.metadata.refresh.interval.ms": 500})
    until(lambda: member.owns == {0, 1}, lambda: member.consumer.poll(0.1))
    log.admin.create_partitions([NewPartitions(log.topic, 3)])[log.topic].result(PATIENCE_S)
    until(lambda: member.owns == {0, 1, 2}, lambda: member.consumer.poll(0.1))


def test_a_group_is_described_with_its_members_and_what_they_own(log: Log, group: str) -> None:
    def description() -> Any:
        return log.admin.describe_consumer_groups([group])[group].result(PATIENCE_S)

    assert description().members == []  # no member ever joined
    member = Heard(log, group, **{"client.id": "worker-7"})
    until(lambda: member.owns == {0, 1}, lambda: member.consumer.poll(0.1))
    [one] = description().members
    assert (one.client_id, {place.partition for place in one.assignment.topic_partitions}) == ("worker-7", {0, 1})
    member.consumer.close()
    until(lambda: description().members == [])


def test_the_twins_have_every_part_of_the_port() -> None:
    """Checked by the type checker, as the real clients are by `Log`."""
    log = MemoryLog()
    clients: tuple[LogProducer, LogConsumer, LogAdmin] = (log.producer(), log.consumer({"group.id": "g"}), log.admin())
    for client, port in zip(clients, (LogProducer, LogConsumer, LogAdmin), strict=True):
        parts = {name for name in vars(port) if not name.startswith("_")}
        assert parts <= set(dir(client))


def test_a_member_waits_for_a_topic_that_does_not_exist_yet(log: Log, group: str) -> None:
    log.admin.delete_topics([log.topic])[log.topic].result(PATIENCE_S)
    until(lambda: log.topic not in log.admin.list_topics(timeout=PATIENCE_S).topics)
    member = Heard(log, group, **{"topic.metadata.refresh.interval.ms": 500})
    assert member.consumer.poll(0.1) is None
    log.make(log.topic)
    until(lambda: member.owns == {0, 1}, lambda: member.consumer.poll(0.1))
