"""Every Kafka error is translated into one of this project's at the edge of the rooms that use the clients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.errors import SluiceError, Unreachable
from schemas.records import ECHO, Claim, Coordinates
from streams import wiring
from streams.admin import broker, group_offsets, lag, members, tail, topics
from streams.client.commands import CommandClient
from streams.client.outcomes import OutcomeWaiter
from streams.client.submitter import Submitter
from streams.client.uploads import UploadPublisher, new_upload
from streams.log import kafka, watermarks
from streams.log.confirmed_producer import enqueue
from streams.log.polling import poll_batch
from streams.settings import Settings
from streams.timekeeper.requests import RequestReader

CODES = {name: code for name, code in vars(KafkaError).items() if name.strip("_").isupper() and isinstance(code, int)}
JOB = "019a3c5e-7c1b-7d2e-8f00-000000000000"


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_every_code_of_kafka_is_translated_with_its_text(code: int) -> None:
    error = KafkaError(code)
    for given in (error, KafkaException(error)):
        translated = kafka.translate(given, "testing")
        assert isinstance(translated, SluiceError)
        assert "while testing" in translated.message
        assert error.str() in translated.message


@pytest.mark.parametrize(
    "code",
    [
        *("_ALL_BROKERS_DOWN", "_TRANSPORT", "_TIMED_OUT", "_MSG_TIMED_OUT", "_RESOLVE", "_WAIT_COORD"),
        *("REQUEST_TIMED_OUT", "NETWORK_EXCEPTION", "LEADER_NOT_AVAILABLE", "NOT_LEADER_FOR_PARTITION"),
        *("NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "NOT_ENOUGH_REPLICAS"),
        *("FENCED_LEADER_EPOCH", "UNKNOWN_LEADER_EPOCH", "STALE_BROKER_EPOCH", "KAFKA_STORAGE_ERROR"),
        *("UNKNOWN_TOPIC_ID", "REBALANCE_IN_PROGRESS", "UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION", "STALE_MEMBER_EPOCH"),
        *("FENCED_MEMBER_EPOCH", "UNSTABLE_OFFSET_COMMIT", "OUT_OF_ORDER_SEQUENCE_NUMBER", "UNKNOWN_PRODUCER_ID"),
        *("INVALID_PRODUCER_EPOCH", "_PURGE_QUEUE", "_PURGE_INFLIGHT", "INVALID_MSG", "REASSIGNMENT_IN_PROGRESS"),
    ],
)
def test_a_condition_that_passes_is_unreachable(code: str) -> None:
    assert isinstance(kafka.translate(KafkaError(CODES[code]), "testing"), Unreachable)


@pytest.mark.parametrize("code", ["MSG_SIZE_TOO_LARGE", "TOPIC_AUTHORIZATION_FAILED", "_FATAL", "_INVALID_ARG"])
def test_a_condition_that_stays_is_not_unreachable(code: str) -> None:
    assert not isinstance(kafka.translate(KafkaError(CODES[code]), "testing"), Unreachable)


def test_a_record_is_refused_for_good_only_for_what_it_is_itself() -> None:
    refused = {name for name, code in CODES.items() if kafka.refused(KafkaError(code))}
    assert "MSG_SIZE_TOO_LARGE" in refused
    # A permission, a topic or a clock can be put right; a broker comes back.
    assert not refused & {"TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART", "INVALID_TIMESTAMP", "_TRANSPORT"}


# ── the edge: whatever a client raises, callers see only SluiceErrors ──


class FailingClient:
    """A client whose every call fails, except those that close it or change nothing on the broker."""

    HARMLESS = frozenset({"close", "assign", "unassign", "flush"})

    def __init__(self, code: int) -> None:
        self._code = code

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*_: Any, **__: Any) -> None:
            if name not in self.HARMLESS:
                raise KafkaException(KafkaError(self._code))

        return call


def submit(settings: Settings, client: Any) -> None:
    with Submitter(settings) as submitter:
        submitter.submit("echo", {"message": "hi"})


def cancel(settings: Settings, client: Any) -> None:
    with CommandClient(settings) as commands:
        commands.cancel(JOB)


def wait(settings: Settings, client: Any) -> None:
    OutcomeWaiter(settings, ECHO)


def read_tail(settings: Settings, client: Any) -> None:
    tail.last(settings, "t", 1)


def read_requests(settings: Settings, client: Any) -> None:
    RequestReader(settings, lambda: None).read([Coordinates("t", 0, 0)])


USES: dict[str, Callable[[Settings, Any], object]] = {
    "submit": submit,
    "cancel": cancel,
    "publish an upload": lambda settings, _: UploadPublisher(settings).publish(
        [new_upload(Claim("file:///x", "aa" * 32, 1))]
    ),
    "wait for outcomes": wait,
    "tail": read_tail,
    "read requests": read_requests,
    "plan topics": lambda settings, _: topics.plan(settings, [ECHO]),
    "apply topics": lambda settings, _: topics.apply(settings, [ECHO]),
    "plan offsets": lambda settings, _: group_offsets.plan(
        settings, [ECHO], {"requests.echo": 1, "requests.echo.bulk": 1}
    ),
    "lag": lambda settings, _: lag.lags(settings, [ECHO]),
    "members": lambda settings, client: members.workers_of(client, settings, "echo"),
    "describe the broker": lambda settings, _: broker.describe_broker(settings),
    "watermarks": lambda _, client: watermarks.watermarks(client, "t"),
    "poll a batch": lambda _, client: poll_batch(client, 10, 0),
    "enqueue": lambda _, client: enqueue(client, "t", b"", None, None, None),
}


@pytest.mark.parametrize("code", ["_ALL_BROKERS_DOWN", "_FATAL", "TOPIC_AUTHORIZATION_FAILED"])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_no_kafka_exception_leaves_the_rooms_that_use_clients(
    use: Callable[[Settings, Any], object], code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = FailingClient(CODES[code])
    for maker in ("producer", "consumer", "reader", "admin"):
        monkeypatch.setattr(kafka, maker, lambda *_, **__: client)
    settings = Settings(
        kafka_bootstrap_servers="memory:failing",
        schema_registry_url="memory:failing",
        home=tmp_path,
        auto_register=True,
    )
    with pytest.raises(SluiceError, match="Kafka"):
        use(settings, client)


def test_a_probe_reports_an_error_instead_of_raising_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kafka, "admin", lambda *_: FailingClient(KafkaError._ALL_BROKERS_DOWN))
    fault = wiring.kafka_probe(Settings(home=tmp_path)).fault()
    assert fault is not None
    assert "Kafka did not answer" in fault
