"""Requests read again from where they lie in the log."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import KafkaError, Message, TopicPartition

from schemas.records import Coordinates
from streams.log import kafka
from streams.settings import Settings

TIMEOUT_S = 10.0
_GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError.UNKNOWN_TOPIC_OR_PART)


class RequestReader:
    """Reads single records by assignment, outside any group. Used by one thread."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = kafka.reader(
            settings,
            **{
                "auto.offset.reset": "error",  # a record that is gone is gone, and not the next one that is left
                "fetch.message.max.bytes": 65536,  # one record is wanted, not the megabytes after it
                "queued.min.messages": 1,
                "fetch.wait.max.ms": 10,
            },
        )

    def read(self, places: Iterable[Coordinates]) -> dict[Coordinates, Message | None]:
        """The records at these places; None for one that the log has no more. Raises Unreachable."""
        return {place: self._read(place) for place in sorted(places, key=lambda p: (p.topic, p.partition, p.offset))}

    def close(self) -> None:
        self._consumer.close()

    def _read(self, place: Coordinates) -> Message | None:
        self._consumer.assign([TopicPartition(place.topic, place.partition, place.offset)])
        until = time.monotonic() + TIMEOUT_S
        while time.monotonic() < until:
            message = self._consumer.poll(until - time.monotonic())
            if message is None:
                continue
            error = message.error()
            if error is None:
                return message if message.offset() == place.offset else None
            if error.code() in _GONE:
                return None
            raise kafka.translate(error, "reading a request again")
        raise kafka.translate(KafkaError(KafkaError._TIMED_OUT), "reading a request again")
