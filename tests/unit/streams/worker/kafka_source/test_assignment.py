"""Assignments and their commits, on the memory log."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.cimpl import NewTopic

from streams.log import kafka
from streams.log.memory import MemoryLog
from streams.settings import Settings
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.kafka_source.assigned_partitions import AssignedPartitions
from streams.worker.kafka_source.committed_state import CommittedStateReader
from streams.worker.kafka_source.lane_consumer import job_from
from streams.worker.kafka_source.offset_metadata import HARD_LIMIT, SOFT_LIMIT, CommitMetadata, decode
from streams.worker.kafka_source.offsets import OffsetSpan, Snapshot
from streams.worker.kafka_source.quarantine import Quarantine
from tests.harness.jobs import done

TOPIC, GROUP, TOPIC_ID = "requests.echo", "workers.echo", "kYJ3hXyNT1y0b6c3a1mN2w"


class Worker:
    """The part of a worker that owns a partition; its jobs are done when the test says so."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = kafka.consumer(settings, GROUP, on_commit=self._on_commit)
        self.in_flight = InFlightJobs()
        self._quarantine = Quarantine(self.in_flight, lambda jobs: None)
        committed_state = CommittedStateReader(settings, TOPIC, TOPIC_ID)
        self.partitions = AssignedPartitions(
            self._consumer, self.in_flight, committed_state, self._quarantine, 0, 10_000, lambda assignments, jobs: None
        )
        self.partitions.subscribe()
        self.jobs: dict[int, InFlightJob] = {}
        self._now = 0.0

    def take_in(self, most: int = 1, timeout: float = 5.0) -> list[int]:
        """Return the offsets of the jobs that came."""
        first = self._consumer.poll(timeout)
        messages: list[Any] = [] if first is None else [first, *self._consumer.consume(most - 1, 1.0)]
        by_key = self.partitions.by_key
        jobs = self.in_flight.admit([job_from(m, by_key[m.topic(), m.partition()], 7) for m in messages])
        self.jobs |= {job.offset: job for job in jobs}
        self._quarantine.dispatch(jobs)
        return [job.offset for job in jobs]

    def finish(self, *offsets: int) -> None:
        done(self.in_flight, *[self.jobs[offset] for offset in offsets])

    def commit(self) -> None:
        self._now += 1.0
        self.partitions.commit_if_due(self._now)

    def _on_commit(self, error: Any, places: Any) -> None:
        self.partitions.on_commit_answer(error, places)


@pytest.fixture
def settings() -> Settings:
    made = Settings(kafka_bootstrap_servers=f"memory:{uuid.uuid4().hex}", partitions=1)
    kafka.admin(made).create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(5)
    log = MemoryLog.at(made.bootstrap)
    assert log is not None
    log.topic(TOPIC).topic_id = uuid.UUID(bytes=base64.urlsafe_b64decode(f"{TOPIC_ID}=="))
    seeder = kafka.consumer(made, GROUP, **kafka.OUTSIDE)
    seeder.commit(offsets=[TopicPartition(TOPIC, 0, 0)], asynchronous=False)
    seeder.close()
    return made


def write(settings: Settings, count: int) -> None:
    producer = kafka.producer(settings)
    for _ in range(count):
        producer.produce(TOPIC, b"x", partition=0)
    assert producer.flush(5) == 0


def last_commit(settings: Settings) -> tuple[int, str]:
    reader = kafka.consumer(settings, GROUP, **kafka.OUTSIDE)
    (committed,) = reader.committed([TopicPartition(TOPIC, 0)], timeout=5)
    reader.close()
    return committed.offset, committed.metadata or ""


def test_a_commit_says_what_is_done_beyond_it_and_who_owns_the_partition(settings: Settings) -> None:
    write(settings, 5)
    worker = Worker(settings)
    assert worker.take_in(5) == [0, 1, 2, 3, 4]
    assert decode(*last_commit(settings), TOPIC_ID) == CommitMetadata(Snapshot(0, 0), True), (
        "it has an owner before it has a job"
    )
    worker.finish(0, 2, 3)
    worker.commit()
    spans = (OffsetSpan(1, 2, 0, True), OffsetSpan(4, 5, 0, True))
    assert decode(*last_commit(settings), TOPIC_ID) == CommitMetadata(Snapshot(1, 5, spans), True)
    worker.partitions.close()
    assert decode(*last_commit(settings), TOPIC_ID) == CommitMetadata(Snapshot(1, 5, spans), False)
    next_owner = Worker(settings)
    assert next_owner.take_in(5) == [1, 4]
    assert [next_owner.jobs[offset].execution for offset in (1, 4)] == [1, 1]
    next_owner.partitions.close()


def test_nothing_new_is_not_committed_again(settings: Settings) -> None:
    write(settings, 2)
    worker = Worker(settings)
    worker.take_in(2)
    worker.commit()
    commits = worker.partitions.commits
    worker.commit()
    assert worker.partitions.commits == commits
    worker.finish(1)
    worker.commit()
    assert worker.partitions.commits == commits + 1
    worker.partitions.close()


def test_a_partition_with_too_many_holes_is_not_fetched_until_some_are_gone(settings: Settings) -> None:
    write(settings, SOFT_LIMIT + 100)
    worker = Worker(settings)
    came = worker.take_in(SOFT_LIMIT + 100)
    assert len(came) == SOFT_LIMIT + 100
    worker.finish(*came[1::2])
    worker.commit()
    assert SOFT_LIMIT < len(last_commit(settings)[1]) <= HARD_LIMIT
    assert worker.partitions.fetched() == []
    write(settings, 1)
    assert worker.take_in(timeout=0.2) == []
    worker.finish(*came[: len(came) // 2 : 2])
    worker.commit()
    assert worker.partitions.fetched() == [TopicPartition(TOPIC, 0)]
    assert worker.take_in() == [SOFT_LIMIT + 100]
    worker.partitions.close()


def committed_by_hand(settings: Settings, offset: int, metadata: str = "") -> None:
    writer = kafka.consumer(settings, GROUP, **kafka.OUTSIDE)
    writer.commit(offsets=[TopicPartition(TOPIC, 0, offset, metadata=metadata)], asynchronous=False)
    writer.close()


@pytest.mark.parametrize("said", [f"sluice/1 closed {TOPIC_ID} aZZZZZZZZZZz", f"sluice/1 closed {TOPIC_ID} ab"])
def test_offsets_committed_beyond_the_end_of_the_log_are_not_believed(settings: Settings, said: str) -> None:
    committed_by_hand(settings, 4, said)
    write(settings, 4)
    worker = Worker(settings)
    worker.take_in(timeout=0.1)
    write(settings, 3)
    assert worker.take_in(3) == [4, 5, 6]
    worker.partitions.close()
