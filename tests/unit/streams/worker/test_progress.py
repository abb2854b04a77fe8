"""Progress updates on their way to the log."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.cimpl import NewTopic

from schemas.avsc import self_contained
from schemas.headers import JOB, MODE
from schemas.ids import new_id
from streams import wiring
from streams.admin import tail
from streams.health.loop_threads import LoopThreads
from streams.log import kafka
from streams.settings import Settings
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import JobOrigin
from streams.worker.progress import ProgressPublisher
from streams.worker.protocol import ChildConfig
from streams.worker.publisher import Publisher
from streams.worker.supervision.limits import ProgressUpdate
from tests.harness.jobs import new_job


def test_an_update_that_can_not_be_encoded_is_left_out_and_the_next_is_published(tmp_path: Path) -> None:
    address = f"memory:{uuid.uuid4().hex}"
    settings = Settings(home=tmp_path, kafka_bootstrap_servers=address, schema_registry_url=address)
    topic = settings.topics.progress
    kafka.admin(settings).create_topics([NewTopic(topic, 1, 1)])[topic].result(5)
    wiring.registry(settings).register(f"{topic}-value", self_contained("Progress"))
    in_flight = InFlightJobs()
    origin = JobOrigin("requests.echo", 0, 0)
    (job,) = in_flight.admit([new_job(origin, 7, headers=[(JOB, new_id().encode())])])
    (shadow,) = in_flight.admit([new_job(origin, 8, headers=[(JOB, new_id().encode()), (MODE, b"shadow")])])
    producer = kafka.producer(settings)
    publisher = Publisher(
        producer, in_flight, settings.topics, "echo", "w1", lambda job: None, LoopThreads("worker", None)
    )
    writer = ProgressPublisher(settings, publisher, in_flight, ChildConfig("echo", "w1", "cpu", "", {}, [], {}))
    writer.write(ProgressUpdate(job.slot, 1, "\udcff", None, ""))
    writer.write(ProgressUpdate(job.slot, 2, "stage", None, "\udcff"))
    writer.write(ProgressUpdate(job.slot, 3, "stage", 50.0, "fine"))
    writer.write(ProgressUpdate(job.slot, 1, "text", None, "", "The scan "))
    writer.write(ProgressUpdate(shadow.slot, 1, "stage", 50.0, "of a shadow run"))
    producer.flush(5)
    records = [record.value for record in tail.last(settings, topic, 10)]
    assert [(each["sequence"], each["message"], each["text"]) for each in records] == [
        (3, "fine", None),
        (1, "", "The scan "),
        (1, "of a shadow run", None),
    ]
    marked = [dict(record.headers or ()).get(MODE) for record in tail.last(settings, topic, 10)]
    assert marked == [None, None, "shadow"]


def test_a_foreign_record_whose_header_can_not_be_read_has_no_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"memory:{uuid.uuid4().hex}"
    settings = Settings(home=tmp_path, kafka_bootstrap_servers=address, schema_registry_url=address)
    wiring.registry(settings).register(f"{settings.topics.progress}-value", self_contained("Progress"))
    publisher: Any = None
    in_flight = InFlightJobs()
    (job,) = in_flight.admit([new_job(JobOrigin("requests.echo", 0, 0), 7)])
    writer = ProgressPublisher(settings, publisher, in_flight, ChildConfig("echo", "w1", "cpu", "", {}, [], {}))

    def break_unforeseen(value: bytes) -> Any:
        raise RuntimeError

    monkeypatch.setattr(writer._codec, "decode", break_unforeseen)
    assert writer.deadline(job) is None
    writer.write(ProgressUpdate(job.slot, 1, "stage", None, ""))
