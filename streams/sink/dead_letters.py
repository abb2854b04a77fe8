"""Publishes records that the sink can't use to `dead-letters`, with the reason."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Message

from schemas.errors import SluiceError, Unreachable
from schemas.headers import dead_letter_headers
from streams import logs
from streams.log.confirmed_producer import ConfirmedProducer
from streams.log.port import LogProducer

log = logs.get("sink")

#: Seconds that one wait for confirmation may take.
TIMEOUT_S = 30.0


class DeadLetters:
    """Call `put`, then `settle`: only after that may the record's offset be stored."""

    def __init__(self, producer: LogProducer, topic: str, worker_id: str) -> None:
        self._producer = ConfirmedProducer(producer, "dead letters", TIMEOUT_S)
        self._topic = topic
        self._worker_id = worker_id

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
        self._producer.produce(self._topic, message.value(), message.key(), [*kept, *reason.items()])

    def settle(self) -> None:
        """Wait until all queued records are confirmed. Raises Unreachable if one is not, so that it is read again."""
        try:
            self._producer.flush()
        except SluiceError as error:
            raise Unreachable(error.message) from error
