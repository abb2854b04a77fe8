"""Whether Kafka answers, asked with a client of its own: a consumer that polls can't tell silence from a dead broker."""

from __future__ import annotations

from confluent_kafka import KafkaException

from streams.health.cached_probe import CachedProbe
from streams.log import kafka
from streams.log.port import LogAdmin
from streams.settings import Settings

ASK_S = 2.0


def kafka_probe(settings: Settings) -> CachedProbe:
    """The client is opened by the first question."""
    clients: list[LogAdmin] = []

    def question() -> str | None:
        if not clients:
            clients.append(kafka.admin(settings))
        try:
            clients[0].list_topics(settings.topics.progress, timeout=ASK_S)
        except KafkaException as error:
            return kafka.translate(error, "its health was asked for").message
        return None

    return CachedProbe(question)
