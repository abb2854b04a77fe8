"""Records are queued whatever the queue's size, and a flush returns only when the broker has confirmed them all."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, Message

from schemas.errors import SluiceError, Unreachable
from schemas.headers import JOB
from streams.log.confirmed_producer import ConfirmedProducer, enqueue
from streams.log.memory import MemoryLog
from tests.harness.fake_producer import FakeClient


def batch_on(client: FakeClient, timeout_s: float = 5.0) -> ConfirmedProducer:
    return ConfirmedProducer(client, "job", timeout_s)


def test_flush_returns_when_every_record_is_confirmed() -> None:
    log, confirmed = MemoryLog(), list[Message]()
    log.create_topic("t")
    batch = ConfirmedProducer(log.producer(), "job", 5.0)
    for number in range(3):
        batch.produce("t", b"%d" % number, b"k", on_confirmed=confirmed.append)
    batch.flush()
    assert [message.offset() for message in confirmed] == [0, 1, 2]


def test_a_full_queue_waits_for_delivery_reports_to_make_room() -> None:
    client, confirmed = FakeClient(room=1), list[Message]()
    batch = batch_on(client)
    for number in range(5):
        batch.produce("t", b"%d" % number, on_confirmed=confirmed.append)
    batch.flush()
    assert [message.value() for message in confirmed] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_queue_that_stays_full_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="stays full"):
        batch_on(FakeClient(room=0), timeout_s=0.01).produce("t", b"1")


def test_a_failed_record_makes_flush_raise_with_the_number_and_the_first_job() -> None:
    client = FakeClient(answers=(KafkaError._MSG_TIMED_OUT, KafkaError._MSG_TIMED_OUT))
    batch, confirmed = batch_on(client), list[Message]()
    for job in (b"job-1", b"job-2", b"job-3"):
        batch.produce("t", b"1", headers=[(JOB, job)], on_confirmed=confirmed.append)
    with pytest.raises(Unreachable, match="2 jobs, first job-1"):
        batch.flush()
    assert len(confirmed) == 1
    batch.flush()  # the failures were raised once


def test_a_record_without_a_report_makes_flush_raise() -> None:
    batch = batch_on(FakeClient(silent=True), timeout_s=0.01)
    batch.produce("t", b"1")
    with pytest.raises(Unreachable, match="1 job within"):
        batch.flush()


def test_a_record_that_the_client_refuses_is_not_waited_for() -> None:
    batch = batch_on(FakeClient())
    with pytest.raises(SluiceError, match="publishing to t"):
        batch.produce("t", b"too large")
    batch.flush()


def test_two_batches_on_one_client_answer_for_their_own_records() -> None:
    client = FakeClient(answers=(KafkaError._MSG_TIMED_OUT,))
    failing, well = batch_on(client), batch_on(client)
    failing.produce("t", b"1")
    well.produce("t", b"2")
    well.flush()
    with pytest.raises(Unreachable):
        failing.flush()


def test_purge_forgets_what_was_not_confirmed() -> None:
    client = FakeClient(silent=True)
    batch = batch_on(client, timeout_s=0.01)
    batch.produce("t", b"1")
    with pytest.raises(Unreachable):
        batch.flush()
    batch.purge()
    assert client.purged
    batch.flush()


def test_a_long_wait_calls_back() -> None:
    calls: list[int] = []
    batch = ConfirmedProducer(FakeClient(silent=True), "job", 1.1, on_wait=lambda: calls.append(1))
    batch.produce("t", b"1")
    with pytest.raises(Unreachable):
        batch.flush()
    assert calls == [1]


def test_enqueue_hands_the_report_to_the_caller() -> None:
    client, reports = FakeClient(answers=(KafkaError._MSG_TIMED_OUT,)), list[KafkaError | None]()
    enqueue(client, "t", b"1", None, None, lambda error, message: reports.append(error))
    client.poll()
    assert [error.code() for error in reports if error is not None] == [KafkaError._MSG_TIMED_OUT]
