"""What the timekeeper takes for a job's request, and what it does with a duty that fails."""

from __future__ import annotations

from pathlib import Path

from schemas.codec import Codec
from schemas.ids import new_id
from schemas.records import ECHO, EchoInput
from schemas.registry import MemoryRegistry
from schemas.topics import TopicNames
from streams.client.request_encoder import RequestEncoder
from streams.settings import Settings
from streams.timekeeper.outbox import Outbox
from streams.timekeeper.record_writer import RecordWriter
from streams.timekeeper.timekeeper import _turn


class Failing:
    def turn(self) -> bool:
        raise KeyError("header")


def test_a_record_of_another_job_is_no_request_of_this_one(tmp_path: Path) -> None:
    codec = Codec(MemoryRegistry())
    header, _, value = RequestEncoder(ECHO, "requests.echo", codec, register=True).encode(EchoInput("hi"), {})
    outbox = Outbox(Settings(kafka_bootstrap_servers="memory:writer", home=tmp_path), lambda: None)
    writer = RecordWriter(codec, TopicNames(), outbox, "test")
    read = writer.read(value, header.job_id)
    assert read is not None
    assert read["input"]["message"] == "hi"
    assert writer.read(value, new_id()) is None, "a topic made again has another record at the same place"
    assert writer.read(b"no avro", header.job_id) is None


def test_a_duty_that_fails_leaves_the_others_their_turn() -> None:
    assert _turn(Failing()) is False
