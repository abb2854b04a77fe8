"""A producer outlives a fatal error of its client: every record gets its report, and later records reach the log."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.errors import Unreachable
from streams.log import restarting_producer
from streams.log.confirmed_producer import ConfirmedProducer
from streams.log.port import DeliveryReport
from streams.log.restarting_producer import RestartingProducer
from tests.harness.fake_producer import FakeClient

FATAL = KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "lost the order", fatal=True)


class MortalClient(FakeClient):
    """A client that behaves as librdkafka's after `fail`: `poll` or `flush` raises once, `produce` always."""

    def __init__(self) -> None:
        super().__init__()
        self.raises: deque[KafkaError] = deque()
        self.failed = False

    def fail(self) -> None:
        self.failed = True
        self.raises.append(FATAL)

    def produce(self, *args: Any, **kwargs: Any) -> None:
        if self.failed:
            raise KafkaException(KafkaError(KafkaError._FATAL))
        super().produce(*args, **kwargs)

    def poll(self, timeout: float = -1) -> int:
        if self.raises:
            raise KafkaException(self.raises.popleft())
        return super().poll(timeout)

    def flush(self, timeout: float = -1) -> int:
        if self.raises:
            raise KafkaException(self.raises.popleft())
        return super().flush(timeout)


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[MortalClient]:
    monkeypatch.setattr(restarting_producer, "YOUNGEST_S", 0.0)
    return []


@pytest.fixture
def producer(clients: list[MortalClient]) -> RestartingProducer:
    def make() -> MortalClient:
        clients.append(MortalClient())
        return clients[-1]

    return RestartingProducer(make)


@pytest.mark.parametrize("call", ["poll", "flush"])
def test_a_fatal_error_fails_what_is_unconfirmed_and_the_next_record_is_sent(
    producer: RestartingProducer, clients: list[MortalClient], call: str
) -> None:
    reports: list[KafkaError | None] = []
    producer.produce("t", b"lost", on_delivery=lambda error, _: reports.append(error))
    clients[0].fail()
    assert getattr(producer, call)(0.1) == 0
    assert [error.code() for error in reports if error is not None] == [KafkaError._PURGE_QUEUE]
    producer.produce("t", b"sent", on_delivery=lambda error, _: reports.append(error))
    producer.poll(0.1)
    assert reports[1] is None
    assert len(clients) == 2


def test_a_record_that_meets_the_failed_client_goes_to_the_next_one(
    producer: RestartingProducer, clients: list[MortalClient]
) -> None:
    clients[0].fail()
    producer.produce("t", b"1")
    assert (len(clients[0]), len(clients[1])) == (0, 1)


def test_a_flush_says_that_lost_records_may_be_sent_again(
    producer: RestartingProducer, clients: list[MortalClient]
) -> None:
    batch = ConfirmedProducer(producer, "record", 5.0)
    batch.produce("t", b"1")
    clients[0].fail()
    with pytest.raises(Unreachable):
        batch.flush()
    batch.produce("t", b"1")
    batch.flush()


def test_a_client_that_fails_at_once_is_not_replaced_again_and_again(
    producer: RestartingProducer, clients: list[MortalClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarting_producer, "YOUNGEST_S", 60.0)
    clients[0].fail()
    producer.poll(0.1)
    with pytest.raises(KafkaException):
        producer.produce("t", b"1")
    assert len(clients) == 1


def test_an_error_that_is_not_fatal_is_raised(producer: RestartingProducer, clients: list[MortalClient]) -> None:
    clients[0].raises.append(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    with pytest.raises(KafkaException):
        producer.poll(0.1)
    assert len(clients) == 1


def test_a_record_of_a_batch_that_was_too_large_is_sent_again_alone() -> None:
    """Kafka refuses a batch as a whole: an innocent record would be reported as too large."""
    batches = FakeClient(answers=(KafkaError.MSG_SIZE_TOO_LARGE,) * 2)
    single = FakeClient(answers=(KafkaError.NO_ERROR, KafkaError.MSG_SIZE_TOO_LARGE))
    producer = RestartingProducer(lambda: batches, lambda: single)
    reports: list[tuple[str, int | None]] = []

    def note(name: str) -> DeliveryReport:
        return lambda error, _: reports.append((name, None if error is None else error.code()))

    producer.produce("t", b"innocent", on_delivery=note("innocent"))
    producer.produce("t", b"large", b"k", 3, on_delivery=note("large"), headers=[("h", b"1")])
    while len(producer):
        producer.poll(0.1)
    assert [code for _, code in reports] == [KafkaError.NO_ERROR, KafkaError.MSG_SIZE_TOO_LARGE]
    assert [name for name, _ in reports] == ["innocent", "large"]
    producer.produce("t", b"later", on_delivery=note("later"))
    producer.flush(1)
    assert len(batches) == 1  # the next record goes with others again
