"""Ends runs that nothing can run any more: their request left the log before a worker took it, or its topic was made again.

Where the log begins decides, and where the workers' group is: a worker may still hold a job whose record has left the log, and
has then not committed an offset beyond it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from confluent_kafka import KafkaException, TopicCollection, TopicPartition

from connectors.due_store import DueRun, KeptRecords
from schemas.errors import ErrorCode
from streams import logs
from streams.log import kafka
from streams.log.port import LogAdmin, LogConsumer
from streams.log.topic_ids import uuid_bytes
from streams.timekeeper.duty import DutyContext, request_coordinates
from streams.timekeeper.ending import RunEnd

log = logs.get("timekeeper")

#: Seconds between two looks at where the log begins.
EVERY_S = 30.0
#: Runs are also looked for this often when the log has lost nothing, and this long after it last did: a run that changed
#: a moment ago is passed by.
HOURLY_S = 3600.0
AFTER_LOSS_S = 180.0
#: A topic or partition is missing this long before it counts as deleted. A broker that has just started lists few.
MISSING_S = 60.0
ASK_S = 5.0
BATCH = 2000
#: Seconds after a full batch: the sink stores its ends meanwhile, so that the next batch holds other runs.
AGAIN_S = 5.0
DELETED = "Its request left the log before it was run, so nothing can run it any more. Submit it again."
REPLACED = "The topic of its request was deleted or made again, so nothing can run it any more. Submit it again."


class _Log(NamedTuple):
    """The requests topics as they are now."""

    kept: tuple[KeptRecords, ...]

    @property
    def topic_ids(self) -> frozenset[bytes]:
        return frozenset(row.topic_id for row in self.kept)


class RequestsGone:
    """Looks every half minute; asks the store only when the log has lost something, and once an hour."""

    def __init__(self, context: DutyContext) -> None:
        self._context = context
        self._admin: LogAdmin | None = None
        self._reader: LogConsumer | None = None
        self._next_at = 0.0
        self._log: _Log | None = None
        self._ask_until = 0.0
        self._next_hourly = 0.0
        self._missing_since: dict[tuple[bytes, int], float] = {}

    def run_once(self) -> bool:
        now = time.monotonic()
        if now < self._next_at:
            return False
        self._next_at = now + EVERY_S
        found = self._look()
        if found != self._log:
            self._log, self._ask_until = found, now + AFTER_LOSS_S
        if now >= self._ask_until and now < self._next_hourly:
            return False
        self._next_hourly = now + HOURLY_S
        dues = self._context.store.requests_gone(found.kept, BATCH)
        ends = self._ends(dues, found, now)
        ended = self._context.ender.publish(ends)
        if ended:
            log.error("requests_gone", count=len(ended))
        if len(dues) == BATCH:
            self._next_at = now + AGAIN_S
        return False

    # ── where the log begins ──

    def _look(self) -> _Log:
        """Return where each requests topic begins. Raises Unreachable."""
        try:
            self._admin = self._admin or kafka.admin(self._context.settings)
            self._reader = self._reader or kafka.reader(self._context.settings)
            topics = self._admin.list_topics(timeout=ASK_S).topics
            names = [name for name in topics if self._is_requests(name)]
            described = self._admin.describe_topics(TopicCollection(names), request_timeout=ASK_S) if names else {}
            ids = {name: uuid_bytes(future.result().topic_id) for name, future in described.items()}
            begins = self._begins(self._reader, {name: topics[name].partitions for name in names})
        except KafkaException as error:
            raise kafka.translate(error, "looking where the requests begin") from error
        return _Log(tuple(KeptRecords(ids[name], number, begin) for (name, number), begin in sorted(begins.items())))

    def _is_requests(self, topic: str) -> bool:
        names = self._context.settings.topics
        processor = names.processor_of(topic) if topic.startswith(names.prefix) else None
        return processor is not None and topic.startswith(f"{names.prefix}requests.")

    def _begins(self, reader: LogConsumer, topics: Mapping[str, Iterable[int]]) -> dict[tuple[str, int], int]:
        """Return the first offset of each partition; 0, so that nothing counts as gone, where Kafka does not say."""
        begins = {}
        for name, numbers in topics.items():
            for number in numbers:
                self._context.publisher.on_wait()
                try:
                    low, _ = reader.get_watermark_offsets(TopicPartition(name, number), timeout=ASK_S)
                except KafkaException as error:
                    log.warning("watermarks_unavailable", topic=name, partition=number, reason=str(error))
                    low = 0
                begins[name, number] = max(0, low)
        return begins

    # ── which runs can't be run ──

    def _ends(self, dues: Sequence[DueRun], found: _Log, now: float) -> list[RunEnd]:
        places = {(row.topic_id, row.partition) for row in found.kept}
        missing = {(due.topic_id or b"", due.partition or 0) for due in dues} - places
        self._missing_since = {place: self._missing_since.get(place, now) for place in missing}
        if missing:
            self._ask_until = now + AFTER_LOSS_S  # look again when they have been missing for long enough
        passed = self._passed({due.processor for due in dues}, [due for due in dues if _place(due) in places])
        ends = []
        for due in dues:
            if _place(due) in places:
                if (due.offset or 0) < passed.get((due.topic or "", due.partition or 0), 0):
                    ends.append(RunEnd(due, ErrorCode.NOT_FOUND, DELETED, None, request_coordinates(due)))
            elif now - self._missing_since[_place(due)] >= MISSING_S:
                ends.append(RunEnd(due, ErrorCode.NOT_FOUND, REPLACED, None, request_coordinates(due)))
        return ends

    def _passed(self, processors: Iterable[str], dues: Iterable[DueRun]) -> dict[tuple[str, int], int]:
        """Return up to where no worker holds a job, by topic and partition.

        That is what the workers' group has committed, or everything if the group has no members.
        """
        wanted: dict[str, set[tuple[str, int]]] = {}
        for due in dues:
            wanted.setdefault(due.processor, set()).add((due.topic or "", due.partition or 0))
        passed: dict[tuple[str, int], int] = {}
        for processor in processors:
            if places := wanted.get(processor):
                passed |= self._passed_by(f"{self._context.settings.topic_prefix}workers.{processor}", places)
        return passed

    def _passed_by(self, group: str, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        assert self._admin is not None
        self._context.publisher.on_wait()
        try:
            described = self._admin.describe_consumer_groups([group], request_timeout=ASK_S)[group].result()
            if not described.members:
                return dict.fromkeys(places, _EVERYTHING)
            with closing(kafka.consumer(self._context.settings, group, **kafka.OUTSIDE)) as consumer:
                committed = consumer.committed([TopicPartition(*place) for place in places], timeout=ASK_S)
        except KafkaException as error:
            raise kafka.translate(error, f"looking what {group} has done") from error
        return {(each.topic, each.partition): each.offset for each in committed}


_EVERYTHING = 2**63


def _place(due: DueRun) -> tuple[bytes, int]:
    return due.topic_id or b"", due.partition or 0
