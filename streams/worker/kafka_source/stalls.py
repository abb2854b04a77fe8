"""Partitions whose ordered jobs all wait for one that does not end: they must not use up the places of the others."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import TopicPartition

from streams import logs
from streams.log.port import LogConsumer
from streams.worker.kafka_source.assignment import Assignment

log = logs.get("worker")

#: A partition with its share of waiting jobs and none finished for this long is stalled.
STALLED_AFTER_S = 1.0
CHECK_EVERY_S = 0.5


class StalledPartitions:
    """Used by the engine's thread. A stalled partition is not fetched, and its waiting jobs count against no limit on the
    number of jobs. With the first of its jobs that finishes it is fetched again."""

    def __init__(self, consumer: LogConsumer, limit: int) -> None:
        self._consumer = consumer
        self._limit = limit
        self._stalled: dict[Assignment, int] = {}  # its finished jobs when it was paused
        self._seen: dict[Assignment, tuple[int, float]] = {}  # finished jobs, and since when it is so many
        self._next_check = 0.0
        #: Waiting jobs of stalled partitions: so many more jobs may be in flight.
        self.waiting = 0

    def __contains__(self, assignment: Assignment) -> bool:
        return assignment in self._stalled

    def check(self, assignments: Mapping[tuple[str, int], Assignment], now: float) -> None:
        if now < self._next_check:
            return
        self._next_check = now + CHECK_EVERY_S
        present = set(assignments.values())
        self._seen = {each: seen for each, seen in self._seen.items() if each in present}
        self._stalled = {each: done for each, done in self._stalled.items() if each in present}
        share = max(1, self._limit // max(1, len(present)))
        for assignment in present:
            finished, since = self._seen.get(assignment, (-1, now))
            if finished != assignment.finished_jobs:
                self._seen[assignment] = (assignment.finished_jobs, now)
                if self._stalled.pop(assignment, None) is not None:
                    self._consumer.resume([_place(assignment)])
            elif assignment not in self._stalled and now - since >= STALLED_AFTER_S:
                self._stall_if_full(assignment, share)
        self.waiting = sum(each.tracker.not_begun for each in self._stalled)

    def _stall_if_full(self, assignment: Assignment, share: int) -> None:
        waiting = assignment.tracker.not_begun
        if waiting >= share:
            log.warning("partition_stalled", topic=assignment.topic, partition=assignment.partition, waiting=waiting)
            self._stalled[assignment] = assignment.finished_jobs
            self._consumer.pause([_place(assignment)])


def _place(assignment: Assignment) -> TopicPartition:
    return TopicPartition(assignment.topic, assignment.partition)
