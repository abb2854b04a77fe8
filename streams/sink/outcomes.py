"""Publishes what won to `outcomes.<processor>`, and knows up to where every outcome is confirmed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message

from streams import logs
from streams.log import kafka
from streams.log.port import LogProducer

log = logs.get("sink")

Key = tuple[bytes, int]


class OutcomeRecord(NamedTuple):
    """A winner: keyed `job:run`, its value the winning Result's bytes as they came."""

    topic: str
    key: bytes
    value: bytes


@dataclass(slots=True)
class _Batch:
    """Outcomes produced together, and how far the partitions are published once all of them are confirmed."""

    upto: dict[Key, int]
    left: int = 0
    done: Callable[[dict[Key, int]], None] = field(default=lambda _: None)


class OutcomePublisher:
    """Used by one thread; delivery reports come in while `poll` or `flush` runs."""

    def __init__(self, producer: LogProducer) -> None:
        self._producer = producer
        self._batches: deque[_Batch] = deque()

    def publish(self, outcomes: Iterable[OutcomeRecord], upto: dict[Key, int]) -> None:
        """Queue a batch's outcomes. Once they and all before them are confirmed, `poll` tells of `upto`."""
        batch = _Batch(upto)
        self._batches.append(batch)
        for outcome in outcomes:
            batch.left += 1
            self._produce(batch, outcome)

    def poll(self) -> dict[Key, int]:
        """Let delivery reports in; offsets before which everything is confirmed by now."""
        self._producer.poll(0)
        confirmed: dict[Key, int] = {}
        while self._batches and not self._batches[0].left:
            confirmed |= self._batches.popleft().upto
        return confirmed

    def flush(self, timeout_s: float) -> dict[Key, int]:
        """Wait until everything is confirmed, at most so long."""
        self._producer.flush(timeout_s)
        return self.poll()

    @property
    def outstanding(self) -> int:
        return len(self._batches)

    def _produce(self, batch: _Batch, outcome: OutcomeRecord) -> None:
        def report(error: KafkaError | None, _: Message) -> None:
            if error is None:
                batch.left -= 1
            else:  # never given up: until it is confirmed, a restart would publish it again
                log.warning("outcome_not_published", topic=outcome.topic, code=error.name())
                self._produce(batch, outcome)

        while True:
            try:
                self._producer.produce(outcome.topic, outcome.value, outcome.key, on_delivery=report)
                return
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise kafka.translate(error, f"publishing to {outcome.topic}") from error
