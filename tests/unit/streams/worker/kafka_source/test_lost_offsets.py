"""Offsets that the group or the log does not have: one partition's fault, named, and no other partition waits for it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.cimpl import NewTopic

from streams.log import kafka
from streams.log.topic_ids import topic_ids
from streams.settings import Settings
from streams.worker.in_flight import InFlightJobs
from streams.worker.kafka_source.assigned_partitions import AssignedPartitions
from streams.worker.kafka_source.committed_state import CommittedStateReader
from streams.worker.kafka_source.lane_consumer import LaneConsumer
from streams.worker.kafka_source.offset_metadata import encode
from streams.worker.kafka_source.offsets import Snapshot
from streams.worker.kafka_source.quarantine import Quarantine
from streams.worker.protocol import TopicReplaced
from tests.harness.jobs import done

TOPIC, GROUP = "requests.echo", "workers.echo"


class Lane:
    """The live lane of a worker; its jobs are done as soon as they have come."""

    def __init__(self, settings: Settings) -> None:
        self.consumer = kafka.consumer(settings, GROUP)
        self.in_flight = InFlightJobs()
        quarantine = Quarantine(self.in_flight, lambda jobs: None)
        reader = CommittedStateReader(settings, TOPIC, topic_ids(settings, [TOPIC])[TOPIC])
        self.partitions = AssignedPartitions(
            self.consumer, self.in_flight, reader, quarantine, 0, 1000, lambda assignments, jobs: None
        )
        self.lane = LaneConsumer(0, self.consumer, self.partitions, 10.0)
        self.lane.join()
        self.now = 0.0

    def run(self, polls: int = 8) -> list[tuple[int, int]]:
        """Return partition and offset of the jobs that came."""
        came = []
        for _ in range(polls):
            jobs = self.in_flight.admit(self.lane.poll(10, 0.005))
            came += [(job.origin.partition, job.offset) for job in jobs]
            done(self.in_flight, *jobs)
            self.now += 10.0
            self.lane.tick(self.now)
        return sorted(came)


@pytest.fixture
def settings() -> Settings:
    made = Settings(kafka_bootstrap_servers=f"memory:{uuid.uuid4().hex}", partitions=2)
    kafka.admin(made).create_topics([NewTopic(TOPIC, 2, 1)])[TOPIC].result(5)
    return made


def write(settings: Settings, partition: int, count: int) -> None:
    producer = kafka.producer(settings)
    for _ in range(count):
        producer.produce(TOPIC, b"x", partition=partition)
    assert producer.flush(5) == 0


def delete_before(settings: Settings, partition: int, offset: int) -> None:
    place = TopicPartition(TOPIC, partition, offset)
    kafka.admin(settings).delete_records([place])[place].result(5)


def commit(settings: Settings, *offsets: int, metadata: str = "") -> None:
    """Commit these offsets of the partitions 0, 1, …"""
    writer = kafka.consumer(settings, GROUP, **kafka.OUTSIDE)
    places = [TopicPartition(TOPIC, number, offset, metadata=metadata) for number, offset in enumerate(offsets)]
    writer.commit(offsets=places, asynchronous=False)
    writer.close()


def committed(settings: Settings, partition: int) -> int:
    reader = kafka.consumer(settings, GROUP, **kafka.OUTSIDE)
    (found,) = reader.committed([TopicPartition(TOPIC, partition)], timeout=5)
    reader.close()
    return int(found.offset)


def test_a_partition_whose_requests_were_deleted_unread_goes_on_with_what_the_log_has(settings: Settings) -> None:
    commit(settings, 0, 0)
    write(settings, 0, 5)
    write(settings, 1, 2)
    delete_before(settings, 0, 3)
    lane = Lane(settings)
    assert lane.run() == [(0, 3), (0, 4), (1, 0), (1, 1)]
    assert lane.partitions.lost == {"requests.echo-0": "offsets 0 to 2 left the log before they were run"}
    assert committed(settings, 0) == 5


def test_requests_that_are_deleted_while_a_worker_is_paused_do_not_end_it(settings: Settings) -> None:
    commit(settings, 0, 0)
    write(settings, 0, 1)
    lane = Lane(settings)
    assert lane.run() == [(0, 0)]
    lane.lane.pause(0.0)
    write(settings, 0, 3)
    delete_before(settings, 0, 4)
    assert lane.run() == []
    assert lane.partitions.lost == {"requests.echo-0": "offsets 1 to 3 left the log before they were run"}
    assert committed(settings, 0) == 4, "the next start finds nothing wrong"
    write(settings, 0, 1)
    assert lane.run() == [(0, 4)]


def test_a_partition_whose_log_was_cut_is_run_again_from_its_beginning(settings: Settings) -> None:
    commit(settings, 1000, 0)
    write(settings, 0, 2)
    write(settings, 1, 1)
    lane = Lane(settings)
    assert lane.run() == [(0, 0), (0, 1), (1, 0)]
    assert "cut" in lane.partitions.lost["requests.echo-0"]
    assert committed(settings, 0) == 2


def test_a_group_that_was_reset_starts_at_the_beginning_where_the_log_has_it_all(settings: Settings) -> None:
    write(settings, 0, 2)
    write(settings, 1, 5)
    delete_before(settings, 1, 3)
    lane = Lane(settings)
    assert lane.run() == [(0, 0), (0, 1)]
    ((key, reason),) = lane.partitions.withheld.items()
    assert key == (TOPIC, 1)
    assert "sluice topics apply" in reason


def test_a_partition_newer_than_its_group_starts_at_the_beginning(settings: Settings) -> None:
    commit(settings, 0)
    write(settings, 1, 5)
    delete_before(settings, 1, 3)
    assert Lane(settings).run() == [(1, 3), (1, 4)]


def test_an_offset_of_an_earlier_topic_of_the_same_name_does_not_skip_requests(settings: Settings) -> None:
    commit(settings, 2, 0, metadata=encode(Snapshot(2, 2), "an-earlier-id", is_open=False))
    write(settings, 0, 4)
    assert Lane(settings).run() == [(0, 0), (0, 1), (0, 2), (0, 3)]


def test_a_topic_that_was_made_again_under_a_running_worker_is_not_taken_for_the_old_one(settings: Settings) -> None:
    commit(settings, 0, 0)
    write(settings, 0, 3)
    lane = Lane(settings)
    lane.run()
    metadata = encode(Snapshot(3, 3), topic_ids(settings, [TOPIC])[TOPIC], is_open=False)
    admin = kafka.admin(settings)
    admin.delete_topics([TOPIC])[TOPIC].result(5)
    lane.run()
    admin.create_topics([NewTopic(TOPIC, 2, 1)])[TOPIC].result(5)
    write(settings, 0, 5)
    # A broker may revoke the old partitions when it has the new ones already: the last commit is theirs then.
    lane.consumer.commit(offsets=[TopicPartition(TOPIC, 0, 3, metadata=metadata)], asynchronous=False)
    with pytest.raises(TopicReplaced):
        lane.run()


def test_a_topic_that_was_made_again_makes_its_engine_start_over(settings: Settings) -> None:
    commit(settings, 0, 0)
    write(settings, 0, 1)
    lane = Lane(settings)
    lane.run()
    admin = kafka.admin(settings)
    admin.delete_topics([TOPIC])[TOPIC].result(5)
    admin.create_topics([NewTopic(TOPIC, 2, 1)])[TOPIC].result(5)
    with pytest.raises(TopicReplaced):
        lane.run()
    lane.lane.close()  # commits an offset of the earlier topic
    next_lane = Lane(settings)
    write(settings, 0, 1)
    assert next_lane.run() == [(0, 0)]


def test_a_broker_that_does_not_tell_the_offsets_withholds_the_partitions_until_it_does(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(settings, 0, 0)
    write(settings, 0, 1)
    lane = Lane(settings)
    with monkeypatch.context() as away:

        def no_answer(*_: Any, **__: Any) -> Any:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

        away.setattr(lane.consumer, "committed", no_answer)
        assert lane.run() == []
        assert len(lane.partitions.withheld) == 2
    assert lane.run() == [(0, 0)]
    assert lane.partitions.withheld == {}


def test_a_withheld_partition_can_be_revoked(settings: Settings) -> None:
    write(settings, 1, 2)
    delete_before(settings, 1, 1)
    lane = Lane(settings)
    lane.run(2)
    assert len(lane.partitions) == 2
    lane.lane.close()
    assert len(lane.partitions) == 0


def test_a_worker_that_stops_while_the_coordinator_is_away_does_not_wait_for_a_commit(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(settings, 0, 0)
    write(settings, 0, 1)
    lane = Lane(settings)
    assert lane.run() == [(0, 0)]

    def no_answer(*_: Any, **__: Any) -> Any:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    monkeypatch.setattr(lane.consumer, "committed", no_answer)
    monkeypatch.setattr(lane.consumer, "commit", lambda **_: pytest.fail("it would wait for ever"))
    lane.lane.close()
    assert len(lane.partitions) == 0
