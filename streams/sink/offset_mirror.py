"""Commits the published offsets to Kafka as well, where lag tools look. The sink itself reads them only from the store."""

from __future__ import annotations

import time

from confluent_kafka import KafkaException, TopicPartition

from streams import logs
from streams.log.port import LogConsumer
from streams.sink.positions import Key, Positions

log = logs.get("sink")

#: Seconds between two commits, and between two batches that store nothing but published offsets.
MIRROR_S = 1.0


class OffsetMirror:
    """Used only by the session's thread."""

    def __init__(self, consumer: LogConsumer, positions: Positions) -> None:
        self._consumer = consumer
        self._positions = positions
        self._committed: dict[Key, int] = {}
        self._committed_at = 0.0

    @property
    def due(self) -> bool:
        return time.monotonic() - self._committed_at >= MIRROR_S

    def commit(self, *, wait: bool = False) -> None:
        """Commit the offsets that changed since the last commit. Without `wait`, asynchronously and only when due."""
        if not wait and not self.due:
            return
        self._committed_at = time.monotonic()
        moved = {key: p for key, p in self._positions.items() if p.published != self._committed.get(key)}
        if not moved:
            return
        offsets = [TopicPartition(p.topic, key[1], p.published) for key, p in moved.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=not wait)
        except KafkaException as error:  # only lag tools read these offsets; the next commit has them too
            log.warning("offsets_not_mirrored", reason=str(error))
        else:
            self._committed |= {key: p.published for key, p in moved.items()}

    def forget(self, key: Key) -> None:
        """Drop a revoked partition."""
        self._committed.pop(key, None)
