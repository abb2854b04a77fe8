"""Outcomes count as published only once Kafka has confirmed them and all earlier ones."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.errors import SluiceError, Unreachable
from streams.sink import outcomes
from streams.sink.outcomes import OutcomePublisher, OutcomeRecord

KEY = (b"t" * 16, 0)


class Producer:
    """Confirms records at the next poll, or reports or raises the next of `errors`."""

    def __init__(self) -> None:
        self.raises: dict[bytes, int] = {}
        self.reports: dict[bytes, int] = {}
        self.sent: list[bytes] = []
        self._waiting: list[Any] = []

    def produce(self, topic: str, value: bytes, key: bytes, headers: Any, on_delivery: Any) -> None:
        if key in self.raises:
            raise KafkaException(KafkaError(self.raises[key]))
        self._waiting.append((key, on_delivery))

    def poll(self, timeout: float) -> int:
        waiting, self._waiting = self._waiting, []
        for key, report in waiting:
            code = self.reports.get(key)
            report(None if code is None else KafkaError(code), None)
            if code is None:
                self.sent.append(key)
        return len(waiting)

    def flush(self, timeout: float) -> int:
        return 0 * self.poll(timeout)


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    monkeypatch.setattr(outcomes, "RETRY_S", 0.0)
    return Producer()


def record(name: str, size: int = 1) -> OutcomeRecord:
    return OutcomeRecord("outcomes.echo", name.encode(), b"v" * size)


def publisher(producer: Any) -> OutcomePublisher:
    return OutcomePublisher(producer)


def poll_often(made: OutcomePublisher) -> dict[tuple[bytes, int], int]:
    confirmed: dict[tuple[bytes, int], int] = {}
    for _ in range(4):
        confirmed |= made.poll()
    return confirmed


def test_a_batch_is_confirmed_once_all_its_records_and_all_earlier_ones_are(producer: Producer) -> None:
    made = publisher(producer)
    producer.reports[b"a"] = KafkaError.NOT_LEADER_FOR_PARTITION
    made.publish([record("a"), record("b")], {KEY: 1})
    made.publish([record("c")], {KEY: 2})
    assert made.poll() == {}
    del producer.reports[b"a"]
    assert poll_often(made) == {KEY: 2}
    assert sorted(producer.sent) == [b"a", b"b", b"c"]


def test_a_batch_that_broke_off_in_the_middle_is_never_confirmed(producer: Producer) -> None:
    made = publisher(producer)
    producer.raises[b"b"] = KafkaError._FATAL
    with pytest.raises(SluiceError):
        made.publish([record("a"), record("b"), record("c")], {KEY: 3})
    made.publish([record("d")], {KEY: 4})
    assert [made.poll(), made.poll(), made.flush(0)] == [{}, {}, {}]


@pytest.mark.parametrize("where", ["raises", "reports"])
def test_an_outcome_that_its_topic_is_too_small_for_holds_up_no_other(producer: Producer, where: str) -> None:
    made = publisher(producer)
    getattr(producer, where)[b"a"] = KafkaError.MSG_SIZE_TOO_LARGE
    made.publish([record("a"), record("b")], {KEY: 2})
    assert poll_often(made) == {KEY: 2}
    assert producer.sent == [b"b"]


def test_refused_outcomes_beyond_the_limit_are_read_again_by_a_new_session(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "MOST_REFUSED_BYTES", 10)
    made = publisher(producer)
    producer.reports = {b"a": KafkaError.UNKNOWN_TOPIC_OR_PART, b"b": KafkaError.UNKNOWN_TOPIC_OR_PART}
    made.publish([record("a", 6), record("b", 6)], {KEY: 2})
    assert made.poll() == {}
    producer.reports = {}
    with pytest.raises(Unreachable):
        poll_often(made)


def test_batches_behind_an_unconfirmed_one_are_added_to_the_last(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "MOST_BATCHES", 3)
    made = publisher(producer)
    producer.reports[b"0"] = KafkaError.UNKNOWN_TOPIC_OR_PART
    for number in range(10):
        made.publish([record(str(number))], {KEY: number})
    assert len(made._batches) == 3
    assert made.poll() == {}
    producer.reports = {}
    assert poll_often(made) == {KEY: 9}
