"""Publishes records that the sink can't use to `dead-letters`, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confluent_kafka import Message

from schemas.errors import SluiceError, Unreachable
from schemas.headers import dead_letter_headers
from streams import logs
from streams.log.confirmed_producer import ConfirmedProducer
from streams.log.port import LogProducer

log = logs.get("sink")

#: Seconds that one wait for confirmation may take.
TIMEOUT_S = 10.0
#: Bytes of a header that a dead letter without its value still has.
LONGEST_HEADER = 4096


class DeadLetters:
    """Call `put`, then `settle`: only after that may the record's offset be stored."""

    def __init__(self, producer: LogProducer, topic: str, worker_id: str) -> None:
        self._producer = ConfirmedProducer(producer, "dead letters", TIMEOUT_S)
        self._topic = topic
        self._worker_id = worker_id
        self._queued: list[tuple[Message, list[Any]]] = []

    def put(self, message: Message, error: SluiceError) -> None:
        """Queue one record with its value, key and headers, and with headers for its origin and the reason."""
        if message.topic() == self._topic:  # an undecodable dead letter stays where it is
            log.warning("dead_letter_not_usable", partition=message.partition(), offset=message.offset())
            return
        log.warning(
            "record_dead_lettered",
            topic=message.topic(),
            partition=message.partition(),
            offset=message.offset(),
            code=str(error.code),
        )
        reason = dead_letter_headers(
            reason=str(error.code),
            message=str(error)[:500],
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            attempts=1,
            worker=self._worker_id,
        )
        kept: list[Any] = [pair for pair in message.headers() or [] if pair[0] not in reason]
        self._queued.append((message, [*kept, *reason.items()]))

    def settle(self) -> None:
        """Publish all queued records and wait until they are confirmed. Raises Unreachable if one is not, so that it is read
        again.

        A record that Kafka refuses, because with these headers it is too large, is published without its value."""
        queued, self._queued = self._queued, []
        try:
            self._publish((message, message.value(), fields) for message, fields in queued)
        except Unreachable:
            raise
        except SluiceError as error:
            log.warning("dead_letter_without_value", reason=error.message)
            try:
                self._publish((message, None, _small(fields)) for message, fields in queued)
            except SluiceError as again:
                raise Unreachable(again.message) from again

    def _publish(self, records: Iterable[tuple[Message, bytes | None, list[Any]]]) -> None:
        for message, value, fields in records:
            self._producer.produce(self._topic, value, message.key(), fields)
        self._producer.flush()


def _small(fields: list[Any]) -> list[Any]:
    """Return the headers that are not huge."""
    return [(name, value) for name, value in fields if len(value or b"") <= LONGEST_HEADER]
