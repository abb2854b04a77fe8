"""Words of progress on their way to the log."""

from __future__ import annotations

import uuid
from pathlib import Path

from confluent_kafka import Message
from confluent_kafka.cimpl import NewTopic

from schemas.avsc import self_contained
from schemas.headers import JOB
from schemas.ids import new_id
from streams import wiring
from streams.admin import tail
from streams.log import kafka
from streams.settings import Settings
from streams.worker.in_flight import Assignment, InFlightJobs
from streams.worker.progress import ProgressPublisher
from streams.worker.protocol import ChildConfig
from streams.worker.publisher import Publisher
from streams.worker.supervision.limits import ProgressUpdate


def test_a_word_that_can_not_be_written_down_is_left_out_and_the_next_is_told(tmp_path: Path) -> None:
    address = f"memory:{uuid.uuid4().hex}"
    settings = Settings(home=tmp_path, kafka_bootstrap_servers=address, schema_registry_url=address)
    topic = settings.topics.progress
    kafka.admin(settings).create_topics([NewTopic(topic, 1, 1)])[topic].result(5)
    wiring.registry(settings).register(f"{topic}-value", self_contained("Progress"))
    ledger = InFlightJobs(10)
    message = Message(
        topic="requests.echo", partition=0, offset=7, headers=[(JOB, new_id().encode())], timestamp=(1, 5)
    )
    (held,) = ledger.admit([(message, Assignment("requests.echo", 0, 0))], 7)
    producer = kafka.producer(settings)
    publisher = Publisher(producer, ledger, settings.topics, "echo", "w1", lambda held: None)
    writer = ProgressPublisher(settings, publisher, ledger, ChildConfig("echo", "w1", "cpu", "", {}, [], {}))
    writer.write(ProgressUpdate(held.slot, 1, "\udcff", None, ""))
    writer.write(ProgressUpdate(held.slot, 2, "stage", None, "\udcff"))
    writer.write(ProgressUpdate(held.slot, 3, "stage", 50.0, "fine"))
    producer.flush(5)
    assert [(record.value["sequence"], record.value["message"]) for record in tail.last(settings, topic, 10)] == [
        (3, "fine")
    ]
