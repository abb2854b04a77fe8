"""Finds a job's records in the log by its id, without the store. Cheap: its key names its partition, its id its time.

A job with an order key is in the partition of that key: if its own has nothing, all partitions are read.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from schemas import headers
from schemas.records import Coordinates
from schemas.states import Lane
from streams.explain.snapshot import LogEvent
from streams.log import kafka
from streams.log.memory.partitioner import partition_of
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer
from streams.settings import Settings

TIMEOUT_S = 3.0
#: A search ends after so many seconds or records, wherever it is then.
PATIENCE_S = 4.0
MOST_RECORDS = 200_000
#: A record is at most this much older than its job's id: clocks differ.
SLACK = timedelta(minutes=1)


class Found(NamedTuple):
    """`complete`: the log was searched to its end. `request`: the newest request that was found, with its value."""

    events: list[LogEvent]
    complete: bool
    request: Message | None = None


def search(settings: Settings, job_id: str, processors: Sequence[str], made_at: datetime | None = None) -> Found:
    """Find a job's requests, results and dead letters. `made_at`: when it was submitted, if known. Raises Unreachable."""
    names = settings.topics
    roles = {names.requests(name, lane): "request" for name in processors for lane in Lane}
    roles |= {names.results(name): "result" for name in processors} | {names.dead_letters: "dead_letter"}
    with closing(kafka.reader(settings, **{"enable.partition.eof": True, "fetch.wait.max.ms": 20})) as consumer:
        try:
            made_at = made_at or time_of(job_id)
            found = _read(consumer, _starts(consumer, roles, job_id, made_at, everywhere=False), roles, job_id)
            if found.events:
                return found
            return _read(consumer, _starts(consumer, roles, job_id, made_at, everywhere=True), roles, job_id)
        except KafkaException as error:
            raise kafka.translate(error, "searching the log for the job") from error


def time_of(job_id: str) -> datetime | None:
    """Return when a UUIDv7 was made; None for any other id, which is derived from an idempotency key."""
    try:
        made = uuid.UUID(job_id)
    except ValueError:
        return None
    return datetime.fromtimestamp((made.int >> 80) / 1000, UTC) if made.version == 7 else None


def _starts(
    consumer: LogConsumer, topics: Iterable[str], job_id: str, made_at: datetime | None, *, everywhere: bool
) -> dict[tuple[str, int], int]:
    """Return the partitions to read, each with its first offset; those without a record since then are left out."""
    there = consumer.list_topics(timeout=TIMEOUT_S).topics
    wanted = []
    for topic in topics:
        count = len(there[topic].partitions) if topic in there else 0
        own = {partition_of(job_id.encode(), count)} if count else set[int]()
        wanted += [TopicPartition(topic, number) for number in range(count) if (number in own) is not everywhere]
    if made_at is None:
        return {(p.topic, p.partition): consumer.get_watermark_offsets(p, timeout=TIMEOUT_S)[0] for p in wanted}
    since = max(0, int((made_at - SLACK).timestamp() * 1000))
    timed = consumer.offsets_for_times([TopicPartition(p.topic, p.partition, since) for p in wanted], timeout=TIMEOUT_S)
    return {(p.topic, p.partition): p.offset for p in timed if p.offset >= 0}


def _read(consumer: LogConsumer, starts: Mapping[tuple[str, int], int], roles: Mapping[str, str], job_id: str) -> Found:
    events: list[LogEvent] = []
    request: Message | None = None
    left, records, until = set(starts), 0, time.monotonic() + PATIENCE_S
    consumer.assign([TopicPartition(*key, offset) for key, offset in starts.items()])
    while left and records < MOST_RECORDS and time.monotonic() < until:
        for message in poll_batch(consumer, 1_000, 0.1):
            key = (message.topic() or "", message.partition() or 0)
            if (error := message.error()) is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                left.discard(key)
                continue
            records += 1
            found = dict(message.headers() or ())
            if found.get(headers.JOB) == job_id.encode():
                events.append(_event(roles[key[0]], message, found))
                request = message if roles[key[0]] == "request" else request
    consumer.unassign()
    return Found(sorted(events, key=lambda each: (each.run, each.at)), not left, request)


def _event(role: str, message: Message, found: Mapping[str, bytes | str | None]) -> LogEvent:
    disposition = _text(found.get(headers.DISPOSITION))
    return LogEvent(
        kind="retry" if role == "result" and disposition == "retry" else role,
        at=datetime.fromtimestamp(max(0, message.timestamp()[1]) / 1000, UTC),
        run=_number(found.get(headers.RUN), 0),
        attempt=_number(found.get(headers.ATTEMPT), 1),
        coordinates=Coordinates(message.topic() or "", message.partition() or 0, message.offset() or 0),
        disposition=disposition,
    )


def _text(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def _number(value: bytes | str | None, otherwise: int) -> int:
    text = _text(value)
    return int(text) if text.isdecimal() and len(text) < 10 else otherwise
