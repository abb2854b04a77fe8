"""The workers of a processor, as members of its consumer group."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from streams.log import kafka
from streams.log.member_ids import versions_of, worker_of
from streams.log.port import LogAdmin
from streams.settings import Settings

TIMEOUT_S = 10.0


def workers_of(admin: LogAdmin, settings: Settings, processor: str) -> set[str]:
    """Return the ids of the workers that read a processor's requests now. Raises Unreachable."""
    return set(versions_served(admin, settings, processor))


def versions_served(admin: LogAdmin, settings: Settings, processor: str) -> dict[str, list[str]]:
    """Return the versions that each of these workers serves; none of a worker that does not say. Raises Unreachable."""
    group = f"{settings.topic_prefix}workers.{processor}"
    try:
        described = admin.describe_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return {}
        raise kafka.translate(error, f"asking for the members of {group}") from error
    return {worker_of(member.client_id): versions_of(member.client_id) for member in described.members}
