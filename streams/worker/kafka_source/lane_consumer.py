"""The consumer of one lane: its own topic, its own partitions, paused when there is no capacity for too long."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.states import Lane
from streams import logs
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer
from streams.worker.job import InFlightJob
from streams.worker.kafka_source.assigned_partitions import AssignedPartitions
from streams.worker.kafka_source.assignment import Assignment

log = logs.get("worker")

LANES = tuple(Lane)
#: The log does not have the offset that comes next.
OFFSET_GONE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION})


class LaneConsumer:
    """Used by the engine's thread only. A lane that takes nothing for `pause_after_s` is paused and polled, to stay in the
    group."""

    def __init__(
        self, number: int, consumer: LogConsumer, partitions: AssignedPartitions, pause_after_s: float
    ) -> None:
        self.name = LANES[number].value
        self.partitions = partitions
        self.received = 0
        self._consumer = consumer
        self._pause_after_s = pause_after_s
        self._joined = False
        self._paused = False
        self._last_poll = time.monotonic()
        self._kept: list[InFlightJob] = []  # came although the lane was paused

    def join(self) -> None:
        if not self._joined:
            self._joined = True
            self.partitions.subscribe()

    def poll(self, most: int, timeout: float = 0.0) -> list[InFlightJob]:
        """Return the first job as soon as it is there, and up to `most` that came with it. Resumes a paused lane."""
        if self._paused:
            self._resume()
        kept, self._kept = self._kept, []
        jobs = [*self._still_ours(kept), *self._read(most, 0.0 if kept else timeout)]
        self.received += len(jobs)
        return jobs

    def keep_alive(self) -> list[InFlightJob]:
        """Stay in the group without capacity. Returns nothing most of the time; a job that comes all the same exceeds the
        limit."""
        if not self._paused and time.monotonic() - self._last_poll < self._pause_after_s:
            return []
        self._pause()
        jobs = self._read(1, 0.0)
        self.received += len(jobs)
        return jobs

    def pause(self, timeout: float) -> None:
        """Take nothing until the next `poll`; rebalances go on. Jobs that come all the same are kept until then."""
        self._pause()
        self._kept += self._read(1, timeout)

    def tick(self, now: float) -> None:
        """Commit, and begin partitions that could not be begun before."""
        self.partitions.commit_if_due(now)
        if not self._paused:
            self.partitions.begin_withheld(now)

    def close(self) -> None:
        """Leave the group; see AssignedPartitions.close."""
        self.partitions.close()

    def _pause(self) -> None:
        """Pause all partitions, including ones that were assigned since the last pause."""
        self._paused = True
        if self._joined:
            self._consumer.pause(self._consumer.assignment())

    def _resume(self) -> None:
        self._paused = False
        if self._joined:
            self._consumer.resume(self.partitions.fetched())

    def _still_ours(self, jobs: list[InFlightJob]) -> list[InFlightJob]:
        by_key = self.partitions.by_key
        return [job for job in jobs if by_key.get((job.origin.topic, job.origin.partition)) is job.origin]

    def _read(self, most: int, timeout: float) -> list[InFlightJob]:
        self._last_poll = time.monotonic()
        if not self._joined:
            return []
        try:
            messages: list[Any] = poll_batch(self._consumer, most, timeout)
        except KafkaException as error:
            raise kafka.translate(error, "reading requests") from error
        by_key, received_us = self.partitions.by_key, time.time_ns() // 1000
        # A record of a partition that was revoked during the same poll belongs to another worker.
        return [
            job_from(message, assignment, received_us)
            for message in messages
            if (message.error() is None or self._is_handled(message))
            and (assignment := by_key.get((message.topic(), message.partition()))) is not None
        ]

    def _is_handled(self, message: Any) -> bool:
        """Handle a message that reports an error; return False: it is no record. Raises SluiceError if the client is of no use
        any more."""
        error = message.error()
        if error.code() in OFFSET_GONE:
            self.partitions.find_offset(TopicPartition(message.topic(), message.partition()))
        elif error.fatal():
            raise kafka.translate(error, "reading requests")
        else:
            log.warning("poll_error", reason=error.str())
        return False


def job_from(message: Any, assignment: Assignment, received_us: int) -> InFlightJob:
    key, headers = message.key(), message.headers()
    # len(message) counts the value only; a record may be all key and headers.
    size = len(message) + len(key or b"") + (sum([len(text or b"") for _, text in headers]) if headers else 0)
    return InFlightJob(
        assignment, message.offset(), key, message.value(), headers, message.timestamp()[1], size, received_us
    )
