"""Topic ids, which change when a topic is deleted and made again under its name."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaException, TopicCollection

from schemas.errors import SluiceError, StartupError, Unreachable
from streams.log import kafka
from streams.settings import Settings


def uuid_bytes(topic_id: Any) -> bytes:
    """Return the 16 bytes of a confluent_kafka Uuid (typed Any because its stubs lack the methods)."""
    high: int
    low: int
    high, low = topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits()
    return high.to_bytes(8, "big", signed=high < 0) + low.to_bytes(8, "big", signed=low < 0)


def topic_ids(settings: Settings, names: list[str]) -> dict[str, str]:
    """Return Kafka's topic ids: a topic that is deleted and made again under its name gets another one."""
    admin = kafka.admin(settings)
    ids = {}
    for name, future in admin.describe_topics(TopicCollection(names), request_timeout=10.0).items():
        try:
            ids[name] = str(future.result(15.0).topic_id)
        except KafkaException as error:
            raise _no_topic(name, error) from error
    return ids


def _no_topic(name: str, error: KafkaException) -> SluiceError:
    translated = kafka.translate(error, f"looking for the topic {name}")
    if isinstance(translated, Unreachable):
        return translated
    return StartupError(
        f"The topic {name} can't be used: {error.args[0].str()}.", next_step="Run `sluice topics apply`."
    )
