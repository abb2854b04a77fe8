"""Shorter session and heartbeat times for one consumer group, so that a test need not wait for the broker's."""

from __future__ import annotations

from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from streams.log import kafka
from streams.settings import Settings


def shorten(settings: Settings, processor: str, session_ms: int = 1500) -> None:
    """Let the group of `processor` drop members `session_ms` after their last heartbeat. The broker's minimum must allow it."""
    times = {"consumer.session.timeout.ms": session_ms, "consumer.heartbeat.interval.ms": session_ms // 5}
    group = f"{settings.topic_prefix}workers.{processor}"
    entries = [
        ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET) for name, value in times.items()
    ]
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=entries)
    admin = kafka.admin(settings)  # kept until it has answered
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(10)
