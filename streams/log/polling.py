"""Reads what a consumer has now: one wait for the first message, then everything that was fetched with it."""

from __future__ import annotations

from confluent_kafka import KafkaException, Message

from streams.log import kafka
from streams.log.port import LogConsumer


def poll_batch(consumer: LogConsumer, limit: int, timeout_s: float) -> list[Message]:
    """Return at most `limit` messages, waiting up to `timeout_s` for the first and for no further one; [] if none came.

    `consume` alone would wait until `limit` messages are there or the time is over. Messages may carry errors.
    Raises Unreachable, SluiceError.
    """
    try:
        first = consumer.poll(timeout_s)
        if first is None:
            return []
        return [first, *consumer.consume(limit - 1, 0)] if limit > 1 else [first]
    except KafkaException as error:
        raise kafka.translate(error, "reading records") from error
