"""Reads what a consumer has now: one wait for the first message, then everything that was fetched with it."""

from __future__ import annotations

from confluent_kafka import KafkaException, Message

from streams.log import kafka
from streams.log.port import LogConsumer

#: Each portion has so many times the messages of those before it.
_GROWTH = 7


def poll_batch(consumer: LogConsumer, limit: int, timeout_s: float, max_bytes: int | None = None) -> list[Message]:
    """Return at most `limit` messages, waiting up to `timeout_s` for the first and for no further one; [] if none came.

    `consume` alone would wait until `limit` messages are there or the time is over. Messages may carry errors. With `max_bytes`
    messages are taken in growing portions until their values have so many bytes: the last portion may exceed it.
    Raises Unreachable, SluiceError.
    """
    try:
        first = consumer.poll(timeout_s)
        if first is None:
            return []
        messages = [first]
        size = _size(first)
        while (missing := limit - len(messages)) > 0 and (max_bytes is None or size < max_bytes):
            portion = missing if max_bytes is None else min(missing, len(messages) * _GROWTH)
            more = consumer.consume(portion, 0)
            messages += more
            size += sum(map(_size, more)) if max_bytes is not None else 0
            if len(more) < portion:
                break
        return messages
    except KafkaException as error:
        raise kafka.translate(error, "reading records") from error


def _size(message: Message) -> int:
    return len(message.value() or b"")
