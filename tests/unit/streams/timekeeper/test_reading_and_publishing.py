"""Reading requests again and publishing them is bounded, and decided for each record by itself."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from schemas.errors import Unreachable
from schemas.records import Coordinates
from streams.log import kafka
from streams.settings import Settings
from streams.timekeeper import requests
from streams.timekeeper.publisher import RecordPublisher
from streams.timekeeper.requests import RequestReader
from tests.harness.fake_producer import FakeClient


class FakeConsumer:
    """A consumer that gives these messages, and answers for its watermarks unless `away`."""

    def __init__(self, *messages: Message, away: bool = False) -> None:
        self.messages = deque(messages)
        self.away = away

    def poll(self, timeout: float) -> Message | None:
        return self.messages.popleft() if self.messages else None

    def consume(self, limit: int, timeout: float) -> list[Message]:
        return []

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        if self.away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return 0, 10

    def assign(self, _: Any) -> None: ...

    def unassign(self) -> None: ...

    def seek(self, _: Any) -> None: ...


def record(partition: int, offset: int, value: bytes = b"x", error: int | None = None) -> Message:
    given: Any = {} if error is None else {"error": KafkaError(error)}
    return Message(topic="t", partition=partition, offset=offset, value=value, **given)


def reader(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, consumer: FakeConsumer, ahead_bytes: int = 0
) -> RequestReader:
    monkeypatch.setattr(kafka, "reader", lambda *_, **__: consumer)
    return RequestReader(Settings(home=tmp_path), lambda: None, timeout_s=0.0, ahead_bytes=ahead_bytes)


def at(*places: tuple[int, int]) -> list[Coordinates]:
    return [Coordinates("t", partition, offset) for partition, offset in places]


def test_a_damaged_record_costs_only_its_own_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = at((0, 1), (0, 2), (1, 5))
    consumer = FakeConsumer(record(0, 1, error=KafkaError._BAD_COMPRESSION), record(0, 2), record(1, 5))
    result = reader(monkeypatch, tmp_path, consumer).read(wanted)
    assert result.unread == {wanted[0]}
    assert [result.get(one) is not None for one in wanted] == [False, True, True]


def test_what_came_along_with_a_wanted_record_is_not_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reading = reader(monkeypatch, tmp_path, FakeConsumer(record(0, 1), record(0, 2), record(1, 5)), ahead_bytes=100)
    reading.read(at((1, 5)))
    later = reading.read(at((0, 1), (0, 2)))
    assert [later.get(place) is not None for place in at((0, 1), (0, 2))] == [True, True]
    (again,) = at((0, 2))
    assert again in reading.read([again]).unread, "a record is kept for one read"


def test_a_partition_that_sends_nothing_costs_only_its_own_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanted = at((0, 1), (1, 5))
    result = reader(monkeypatch, tmp_path, FakeConsumer(record(1, 5))).read(wanted)
    assert (result.unread, result.get(wanted[1]) is not None) == ({wanted[0]}, True)


def test_a_broker_that_does_not_answer_is_unreachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        reader(monkeypatch, tmp_path, FakeConsumer(away=True)).read(at((0, 1)))


def test_a_read_stops_after_so_many_bytes_and_leaves_the_rest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(requests, "MAX_BYTES", 150)
    wanted = at((0, 1), (0, 2), (0, 3))
    consumer = FakeConsumer(*(record(0, offset, b"x" * 100) for offset in (1, 2, 3)))
    result = reader(monkeypatch, tmp_path, consumer).read(wanted)
    assert [result.is_left(one) for one in wanted] == [False, False, True]


def test_records_refused_together_for_their_size_are_tried_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    large, away = KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.TOPIC_AUTHORIZATION_FAILED
    client = FakeClient(answers=(large, large, away))
    monkeypatch.setattr(kafka, "producer", lambda *_, **__: client)
    publisher = RecordPublisher(Settings(home=tmp_path), lambda: None)
    for name in ("a", "b", "c"):
        publisher.put(name, "t", None, name.encode())
    errors = publisher.flush()
    assert {name: error.code() for name, error in errors.items()} == {"c": away}
    assert publisher.flush() == {}
