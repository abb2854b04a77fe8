"""Where a topic begins and ends."""

from __future__ import annotations

from functools import partial

from confluent_kafka import KafkaException, TopicPartition

from schemas.errors import NotFound
from streams.log import kafka
from streams.log.not_ready import TIMEOUT_S, retry_until_ready
from streams.log.port import LogConsumer


def watermarks(consumer: LogConsumer, topic: str) -> dict[int, tuple[int, int]]:
    """Return each partition's first offset and the offset that its next record gets. Raises NotFound, Unreachable."""
    try:
        found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
        if found.error is not None or not found.partitions:
            raise NotFound(
                f"There is no topic {topic!r}.", next_step="`sluice topics apply` makes the declared topics."
            )
        return {
            number: retry_until_ready(
                partial(consumer.get_watermark_offsets, TopicPartition(topic, number), timeout=TIMEOUT_S)
            )
            for number in sorted(found.partitions)
        }
    except KafkaException as error:
        raise kafka.translate(error, f"finding the ends of {topic}") from error
