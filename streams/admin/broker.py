"""Describes the broker for `sluice doctor`: how many brokers, and how soon the group drops a silent worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from streams.log import kafka
from streams.settings import Settings

TIMEOUT_S = 5.0
SESSION_TIMEOUT_MS = 10_000
#: Under KIP-848 these are settings of the broker, not the client. By default a session is at least 45 s.
FAILOVER_SETTINGS: Mapping[str, int] = {
    "group.consumer.min.session.timeout.ms": 6_000,
    "group.consumer.session.timeout.ms": SESSION_TIMEOUT_MS,
    "group.consumer.min.heartbeat.interval.ms": 1_000,
    "group.consumer.heartbeat.interval.ms": 2_000,
}


@dataclass(frozen=True, slots=True)
class Broker:
    """`session_timeout_ms` is None if the broker has no KIP-848 groups."""

    brokers: int
    session_timeout_ms: int | None


def describe_broker(settings: Settings) -> Broker:
    """Raises Unreachable."""
    admin = kafka.admin(settings)
    try:
        brokers = admin.list_topics(timeout=TIMEOUT_S).brokers
        resource = ConfigResource(ResourceType.BROKER, str(min(brokers)))
        (future,) = admin.describe_configs([resource], request_timeout=TIMEOUT_S).values()
        config = future.result(TIMEOUT_S + 5.0)
    except KafkaException as error:
        raise kafka.translate(error, "looking at the cluster") from error
    entry = config.get("group.consumer.session.timeout.ms")
    return Broker(len(brokers), None if entry is None or not entry.value else int(entry.value))
