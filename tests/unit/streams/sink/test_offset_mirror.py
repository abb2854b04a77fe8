"""The offsets that lag tools read follow those of the store, also once nothing more comes."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from connectors.sink_store import ClaimedOffsets
from streams.log import kafka
from streams.settings import Settings
from streams.sink import offset_mirror
from streams.sink import session as session_module
from streams.sink.event_buffer import EventBuffer
from streams.sink.offset_mirror import OffsetMirror
from streams.sink.positions import Positions
from tests.harness.sink_kit import open_sink, states, step_until_read, submit_jobs


def committed(settings: Settings) -> int:
    """Return how many requests the sink's group has committed."""
    topic = settings.topics.requests("echo")
    with closing(kafka.reader(settings, **{"group.id": "sink"})) as reader:
        return sum(max(0, each.offset) for each in reader.committed([TopicPartition(topic, n) for n in range(2)]))


def test_requests_stored_right_after_a_commit_are_committed_with_the_next_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "EventBuffer", partial(EventBuffer, hold_s=0.0))
    monkeypatch.setattr(offset_mirror, "MIRROR_S", float("inf"))
    submit_jobs(settings, 5)
    sink = open_sink(settings)
    step_until_read(sink)
    assert states(settings) == {"PENDING": 5}
    assert committed(settings) == 0
    monkeypatch.setattr(offset_mirror, "MIRROR_S", 0.0)
    sink.step()
    assert committed(settings) == 5
    sink.close()


class RefusesOnce:
    def __init__(self) -> None:
        self.calls: list[int] = []

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        self.calls.append(sum(each.offset for each in offsets))
        if len(self.calls) == 1:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))


def test_offsets_whose_commit_failed_are_committed_next_time() -> None:
    consumer: Any = RefusesOnce()
    positions = Positions("sink")
    positions.assign((b"t" * 16, 0), "requests", ClaimedOffsets(7, 7, 1), publishes=False)
    mirror = OffsetMirror(consumer, positions)
    for _ in range(3):
        mirror.commit(wait=True)
    assert consumer.calls == [7, 7]
