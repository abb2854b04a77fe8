"""The timekeeper accepts only a job's own request."""

from __future__ import annotations

from pathlib import Path

from schemas.codec import Codec
from schemas.ids import new_id
from schemas.records import ECHO, EchoInput
from schemas.registry import MemoryRegistry
from schemas.topics import TopicNames
from streams.client.request_encoder import RequestEncoder
from streams.settings import Settings
from streams.timekeeper.publisher import RecordPublisher
from streams.timekeeper.record_writer import RecordWriter


def test_a_record_of_another_job_is_not_taken_for_the_request(tmp_path: Path) -> None:
    codec = Codec(MemoryRegistry())
    header, _, value = RequestEncoder(ECHO, "requests.echo", codec, register=True).encode(EchoInput("hi"), {})
    publisher = RecordPublisher(Settings(kafka_bootstrap_servers="memory:writer", home=tmp_path), lambda: None)
    writer = RecordWriter(codec, TopicNames(), publisher, "test")
    decoded = writer.decode_value(value, header.job_id)
    assert decoded is not None
    assert decoded["input"]["message"] == "hi"
    assert writer.decode_value(value, new_id()) is None, (
        "a topic that was created again has another record at the offset"
    )
    assert writer.decode_value(b"no avro", header.job_id) is None
