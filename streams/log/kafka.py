"""Creates Kafka clients, and translates their errors. Each setting that differs from librdkafka's default has its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from schemas.errors import SluiceError, Unreachable
from streams import logs
from streams.log.port import LogAdmin, LogConsumer, LogProducer
from streams.log.restarting_producer import RestartingProducer
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.log.memory import MemoryLog

log = logs.get("kafka")

#: Seconds that Kafka may take to answer a probe.
PROBE_S = 2.0

#: Codes of conditions that pass without a change: of the client (_…) and of the broker.
_UNREACHABLE = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._WAIT_COORD,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        # A leader moves, a broker starts or its disk fails over: the client finds the new leader by itself.
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.STALE_BROKER_EPOCH,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
        KafkaError.ELIGIBLE_LEADERS_NOT_AVAILABLE,
        KafkaError.REASSIGNMENT_IN_PROGRESS,
        KafkaError.FETCH_SESSION_ID_NOT_FOUND,
        KafkaError.INVALID_FETCH_SESSION_EPOCH,
        # A topic was made again: the client's metadata is old for a moment.
        KafkaError.UNKNOWN_TOPIC_ID,
        # The group is rebalancing: the member joins again.
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.ILLEGAL_GENERATION,
        # The producer's state was lost or given up: RestartingProducer has replaced the client.
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError.INVALID_PRODUCER_EPOCH,
        # A record was damaged on its way.
        KafkaError.INVALID_MSG,
    }
)
#: Codes of a record that Kafka takes at no time and from no producer, while it takes every other record.
_REFUSED = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.POLICY_VIOLATION,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
    }
)

#: For a consumer that never joins its group. The classic protocol requires a poll interval longer than its session (45 s),
#: whatever `max.poll.interval.ms` the settings give the workers.
OUTSIDE: Mapping[str, str | int] = {"group.protocol": "classic", "max.poll.interval.ms": 300_000}


def producer(settings: Settings, **more: Any) -> LogProducer:
    """Return an idempotent producer, which is replaced if its client fails for good (streams/log/restarting_producer.py).

    `linger.ms` 0 delays no job; librdkafka still batches records that queue up meanwhile.
    """
    config: dict[str, Any] = {
        **_common(settings),
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 0,
        "partitioner": "murmur2_random",  # as in the Java client and Faust, so that a key has one partition in every client
        "queue.buffering.max.messages": 200_000,
        "queue.buffering.max.kbytes": 512 * 1024,
        "delivery.timeout.ms": 120_000,
        "message.max.bytes": 8 * 1024 * 1024,
        **settings.kafka_config,
        **more,
    }
    twin = _twin(settings)
    if twin is not None:
        return twin.producer(config)
    return RestartingProducer(partial(Producer, config), partial(Producer, {**config, "batch.num.messages": 1}))


def consumer(settings: Settings, group: str, **more: Any) -> LogConsumer:
    """Return a consumer that commits only explicitly. In KIP-848 groups a rebalance stops only the partitions that move."""
    config: dict[str, Any] = {
        **_common(settings),
        "group.id": group,
        "group.protocol": "consumer",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": False,
        "fetch.queue.backoff.ms": 10,  # the default, 1 s, delays a consumer that has emptied its queue
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": 64 * 1024,
        "max.poll.interval.ms": 300_000,
        **settings.kafka_config,
        **more,
    }
    twin = _twin(settings)
    return Consumer(config) if twin is None else twin.consumer(config)


def reader(settings: Settings, **more: Any) -> LogConsumer:
    """Return a consumer outside any group, which reads the partitions it assigns to itself."""
    return consumer(settings, "sluice-readers", **{**OUTSIDE, "auto.offset.reset": "earliest", **more})


def admin(settings: Settings) -> LogAdmin:
    twin = _twin(settings)
    if twin is None:
        return AdminClient({**_common(settings), **settings.kafka_config})
    return twin.admin()


def translate(error: KafkaError | KafkaException, doing: str) -> SluiceError:
    """Return a Kafka error as one of this project's. `doing` completes the sentence "Kafka failed while …"."""
    inner = error.args[0] if isinstance(error, KafkaException) and error.args else error
    if isinstance(inner, KafkaError) and (inner.code() in _UNREACHABLE or inner.retriable()):
        return Unreachable(
            f"Kafka did not answer while {doing}: {inner.str()}.",
            next_step="Run `sluice doctor`; with the local stack, `sluice up` starts it.",
        )
    return SluiceError(f"Kafka failed while {doing}: {inner}.")


def question(settings: Settings) -> Callable[[], str | None]:
    """Return a function that says why Kafka does not answer, or None if it does. The first call opens a client."""
    clients: list[LogAdmin] = []

    def ask() -> str | None:
        if not clients:
            clients.append(admin(settings))
        try:
            clients[0].list_topics(settings.topics.progress, timeout=PROBE_S)
        except KafkaException as error:
            return translate(error, "its health was asked for").message
        return None

    return ask


def refused(error: KafkaError) -> bool:
    """True if Kafka refuses this one record for good, so that sending it again is of no use."""
    return error.code() in _REFUSED


def _twin(settings: Settings) -> MemoryLog | None:
    """Return the log within this process for an address `memory:NAME` (docs/testing.md), else None."""
    if not settings.bootstrap.startswith("memory:"):
        return None
    from streams.log.memory import MemoryLog

    return MemoryLog.at(settings.bootstrap)


def _common(settings: Settings) -> dict[str, Any]:
    return {
        "bootstrap.servers": settings.bootstrap,
        "client.id": "sluice",
        "error_cb": _on_error(),
        "log_level": 0,  # librdkafka would print to stderr every 50 ms while Kafka is away; error_cb reports the same once
        "socket.nagle.disable": True,
        "reconnect.backoff.max.ms": 2_000,
        "broker.address.family": "v4" if settings.bootstrap.startswith("127.") else "any",
    }


def _on_error() -> Callable[[KafkaError], None]:
    def report(error: KafkaError) -> None:
        log.warning("kafka_client_error", code=error.name(), reason=error.str(), fatal=error.fatal())

    return report
