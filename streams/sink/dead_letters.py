"""Records that the sink can't use, kept with the reason in `dead-letters`."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from schemas import headers
from schemas.errors import SluiceError, Unreachable
from streams import logs
from streams.log import kafka
from streams.log.port import LogProducer

log = logs.get("sink")


class DeadLetters:
    """`put` and then `settle`: only after that may the record's offset be passed."""

    def __init__(self, producer: LogProducer, topic: str, who: str) -> None:
        self._producer = producer
        self._topic = topic
        self._who = who
        self._waiting: set[_Ticket] = set()

    def put(self, message: Message, error: SluiceError) -> None:
        """Queue one record: its bytes, key and headers as they came, and where it lay and why."""
        if message.topic() == self._topic:  # a dead letter that can't be read stays where it is
            log.warning("dead_letter_not_usable", partition=message.partition(), offset=message.offset())
            return
        log.warning(
            "record_dead_lettered",
            topic=message.topic(),
            partition=message.partition(),
            offset=message.offset(),
            code=str(error.code),
        )
        why, ticket = _why(message, error, self._who), _Ticket()

        def report(failure: KafkaError | None, _: Message) -> None:
            if failure is None:
                self._waiting.discard(ticket)

        told: list[Any] = [pair for pair in message.headers() or [] if pair[0] not in why]
        try:
            self._producer.produce(
                self._topic, message.value(), message.key(), headers=[*told, *why.items()], on_delivery=report
            )
        except KafkaException as failure:
            raise kafka.translate(failure, f"publishing to {self._topic}") from failure
        self._waiting.add(ticket)

    def settle(self, timeout_s: float = 30.0) -> None:
        """Wait for the delivery reports. Raises Unreachable when one did not come or was bad."""
        if not self._waiting:
            return
        self._producer.flush(timeout_s)
        left, self._waiting = len(self._waiting), set()
        if left:
            raise Unreachable(f"{left} dead letters were not confirmed by Kafka.")


class _Ticket:
    """One dead letter on its way."""


def _why(message: Message, error: SluiceError, who: str) -> dict[str, bytes]:
    return {
        headers.DL_REASON: str(error.code).encode(),
        headers.DL_MESSAGE: str(error)[:500].encode("utf-8", "replace"),
        headers.DL_TOPIC: (message.topic() or "").encode(),
        headers.DL_PARTITION: b"%d" % (message.partition() or 0),
        headers.DL_OFFSET: b"%d" % (message.offset() or 0),
        headers.DL_ATTEMPTS: b"1",
        headers.DL_WORKER: who.encode(),
        headers.DL_AT: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode(),
    }
