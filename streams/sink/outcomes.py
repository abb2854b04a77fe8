"""Publishes outcomes, and reports up to which offset of each partition Kafka has confirmed all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from confluent_kafka import KafkaError, Message

from streams import logs
from streams.log.confirmed_producer import enqueue
from streams.log.port import LogProducer
from streams.sink.positions import Key

log = logs.get("sink")


class OutcomeRecord(NamedTuple):
    """The record of a winner: its key is `job:run`, its value the unchanged bytes of the winning Result."""

    topic: str
    key: bytes
    value: bytes


@dataclass(slots=True)
class _Batch:
    """Outcomes produced together. Once Kafka has confirmed them all, everything before the offsets `upto` is published."""

    upto: dict[Key, int]
    unconfirmed: int = 0


class OutcomePublisher:
    """Used by one thread; delivery reports are served while `poll` or `flush` runs."""

    def __init__(self, producer: LogProducer) -> None:
        self._producer = producer
        self._batches: deque[_Batch] = deque()

    def publish(self, outcomes: Iterable[OutcomeRecord], upto: dict[Key, int]) -> None:
        """Queue a batch of outcomes. `poll` returns `upto` once these and all earlier ones are confirmed."""
        batch = _Batch(upto)
        self._batches.append(batch)
        for outcome in outcomes:
            batch.unconfirmed += 1
            self._produce(batch, outcome)

    def poll(self) -> dict[Key, int]:
        """Serve delivery reports; return the offsets of the batches that were confirmed since the last call."""
        self._producer.poll(0)
        confirmed: dict[Key, int] = {}
        while self._batches and not self._batches[0].unconfirmed:
            confirmed |= self._batches.popleft().upto
        return confirmed

    def flush(self, timeout_s: float) -> dict[Key, int]:
        """Wait up to `timeout_s` until everything is confirmed, then return as `poll` does."""
        self._producer.flush(timeout_s)
        return self.poll()

    def _produce(self, batch: _Batch, outcome: OutcomeRecord) -> None:
        def report(error: KafkaError | None, _: Message) -> None:
            if error is None:
                batch.unconfirmed -= 1
            else:  # Retry forever; a restart would publish it again anyway.
                log.warning("outcome_not_published", topic=outcome.topic, code=error.name())
                self._produce(batch, outcome)

        enqueue(self._producer, outcome.topic, outcome.value, outcome.key, None, report)
