"""Publishes outcomes, and reports up to which offset of each partition Kafka has confirmed all of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from confluent_kafka import KafkaError, Message

from schemas.errors import SluiceError, Unreachable
from streams import logs
from streams.log.confirmed_producer import enqueue
from streams.log.port import LogProducer
from streams.sink.positions import Key

log = logs.get("sink")

#: Seconds that the client's queue may stay full before the session ends.
FULL_S = 10.0
#: Seconds between two tries of outcomes that Kafka refused.
RETRY_S = 1.0
#: Batches that are kept apart while the first one is not confirmed; later ones are added to the last.
MOST_BATCHES = 1_000
#: Bytes of refused outcomes that are kept in memory.
MOST_REFUSED_BYTES = 64 * 1024 * 1024
#: A client that is being closed reports these.
_GIVEN_UP = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)
#: Trying these again does not help: the topic takes no record of this size.
_TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE)


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
        self._refused: list[tuple[_Batch, OutcomeRecord]] = []
        self._refused_bytes = 0
        self._dropped = False
        self._retry_at = 0.0

    def publish(self, outcomes: Iterable[OutcomeRecord], upto: dict[Key, int]) -> None:
        """Queue a batch of outcomes. `poll` returns `upto` once these and all earlier ones are confirmed.

        Raises Unreachable, SluiceError; then the batch is never confirmed, and neither is any later one.
        """
        records = list(outcomes)
        batch = self._batch(upto)
        # All of them first: none may be missing from the count if one can't be queued.
        batch.unconfirmed += len(records)
        for record in records:
            self._produce(batch, record)

    def poll(self) -> dict[Key, int]:
        """Serve delivery reports; return the offsets of the batches that were confirmed since the last call.

        Raises Unreachable if outcomes were dropped from memory that Kafka would take now: a new session reads them again.
        """
        self._producer.poll(0)
        if time.monotonic() >= self._retry_at:
            self._try_again()
        confirmed: dict[Key, int] = {}
        while self._batches and not self._batches[0].unconfirmed:
            confirmed |= self._batches.popleft().upto
        return confirmed

    def flush(self, timeout_s: float) -> dict[Key, int]:
        """Wait up to `timeout_s` until everything is confirmed, then return as `poll` does."""
        self._producer.flush(timeout_s)
        return self.poll()

    def _try_again(self) -> None:
        refused, self._refused, self._refused_bytes = self._refused, [], 0
        if self._dropped and not refused:
            raise Unreachable("Kafka takes the outcomes again that it refused; they are read and published again.")
        for batch, record in refused:
            self._produce(batch, record)
        self._retry_at = time.monotonic() + RETRY_S if refused else 0.0

    def _batch(self, upto: dict[Key, int]) -> _Batch:
        """Return a new batch, or the last one if it waits only for earlier ones or there are too many."""
        if self._batches and (not self._batches[-1].unconfirmed or len(self._batches) >= MOST_BATCHES):
            self._batches[-1].upto |= upto
        else:
            self._batches.append(_Batch(upto))
        return self._batches[-1]

    def _produce(self, batch: _Batch, outcome: OutcomeRecord) -> None:
        def report(error: KafkaError | None, _: Message) -> None:
            if error is None:
                batch.unconfirmed -= 1
            else:
                self._on_refused(batch, outcome, error)

        try:
            enqueue(self._producer, outcome.topic, outcome.value, outcome.key, None, report, timeout_s=FULL_S)
        except SluiceError as error:
            refusal = getattr(error.__cause__, "args", (None,))[0]
            if not isinstance(refusal, KafkaError) or refusal.code() not in _TOO_LARGE:
                raise
            self._on_refused(batch, outcome, refusal)

    def _on_refused(self, batch: _Batch, outcome: OutcomeRecord, error: KafkaError) -> None:
        """Try again later, for ever (a new session would do the same), unless that can't help."""
        if error.code() in _TOO_LARGE:
            log.error("outcome_too_large", topic=outcome.topic, key=outcome.key.decode(), bytes=len(outcome.value))
            batch.unconfirmed -= 1
        elif error.code() not in _GIVEN_UP:
            if not self._refused:
                log.warning("outcome_not_published", topic=outcome.topic, code=error.name(), retry_in_s=RETRY_S)
                self._retry_at = time.monotonic() + RETRY_S
            self._refused_bytes += len(outcome.value)
            if self._refused_bytes <= MOST_REFUSED_BYTES:
                self._refused.append((batch, outcome))
            else:  # it stays unconfirmed, so its offset is not published and a later session reads it again
                self._dropped = True
