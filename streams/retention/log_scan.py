"""Reads every record that the log still holds, without decoding any: ids and claims of files are found in the bytes.

Avro and the headers hold text as it is, so a uri or an id is found whatever the schema, also in a record that can't be decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, KafkaException, Message, TopicPartition

from schemas.errors import Unreachable
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.log.watermarks import watermarks
from streams.settings import Settings

_BATCH = 1000
#: Seconds without any record or end of a partition after which the log counts as unreachable.
SILENCE_S = 60.0
TIMEOUT_S = 15.0
_CONTENT = re.compile(rb"sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})")
_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A record in the log. `contents`: sha256 of the files that it refers to. `ids`: every UUID in it."""

    topic: str
    at: datetime | None
    contents: frozenset[str]
    ids: frozenset[str]


def our_topics(settings: Settings) -> list[str]:
    """Return the topics of this installation that the broker has. Raises Unreachable."""
    names = settings.topics
    try:
        found = kafka.admin(settings).list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise kafka.translate(error, "listing the topics") from error
    fixed = {names.uploads, names.progress, names.control, names.dead_letters, names.join_parts, names.join_state}
    return sorted(name for name in found if name in fixed or names.processor_of(name) is not None)


def kept_records(settings: Settings, topics: Iterable[str]) -> Iterator[KeptRecord]:
    """Yield every record that these topics hold up to now, in no order across partitions. Raises Unreachable."""
    consumer = kafka.reader(settings, **{"enable.partition.eof": True, "fetch.wait.max.ms": 50})
    try:
        ends = {
            (topic, number): (low, end)
            for topic in topics
            for number, (low, end) in watermarks(consumer, topic).items()
            if low < end
        }
        consumer.assign([TopicPartition(topic, number, low) for (topic, number), (low, _) in ends.items()])
        unread = set(ends)
        while unread:
            messages = poll_batch(consumer, _BATCH, SILENCE_S)
            if not messages:
                raise Unreachable("Kafka sends no more records.", next_step="Run `sluice doctor`, then try again.")
            for message in messages:
                place = (message.topic() or "", message.partition() or 0)
                if (error := message.error()) is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise kafka.translate(error, f"reading {place[0]}")
                    unread.discard(place)
                    continue
                if (message.offset() or 0) + 1 >= ends[place][1]:
                    unread.discard(place)
                yield _record(message)
    finally:
        consumer.close()


def _record(message: Message) -> KeptRecord:
    headers: Any = message.headers() or ()
    parts = [message.key(), message.value(), *(value for _, value in headers)]
    data = b"\n".join(part.encode() if isinstance(part, str) else part for part in parts if part)
    kind, millis = message.timestamp()
    return KeptRecord(
        topic=message.topic() or "",
        at=None if kind == TIMESTAMP_NOT_AVAILABLE else datetime.fromtimestamp(millis / 1000, UTC),
        contents=frozenset(found.decode() for _, found in _CONTENT.findall(data)),
        ids=frozenset(found.decode() for found in _ID.findall(data)),
    )
