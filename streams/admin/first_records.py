"""Reads one record, or a few, at each of many places."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, Message, TopicPartition

from streams.admin.log_ends import Place
from streams.admin.records import time_of
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer

#: Settings of a consumer for `first_records`: it needs few records of a partition, so a fetch brings little.
ONE_RECORD: Mapping[str, Any] = {
    **kafka.OUTSIDE,
    "auto.offset.reset": "earliest",
    "enable.partition.eof": True,
    "fetch.message.max.bytes": 64 * 1024,
    "queued.min.messages": 1,
}


class FoundRecord(NamedTuple):
    """`offset`: None if there is no record from the place on: only markers of transactions, or nothing."""

    offset: int | None
    at: datetime | None


def first_records(
    consumer: LogConsumer, places: Mapping[Place, int], patience_s: float = 5.0
) -> dict[Place, FoundRecord]:
    """Return the first record at or after each offset. Places that were not read in time are missing. Raises Unreachable."""
    found = records_from(consumer, places, 1, patience_s)
    return {
        place: FoundRecord(int(messages[0].offset() or 0), time_of(messages[0]))
        if messages
        else FoundRecord(None, None)
        for place, messages in found.items()
    }


def records_from(
    consumer: LogConsumer, places: Mapping[Place, int], count: int, patience_s: float = 5.0
) -> dict[Place, list[Message]]:
    """Return up to `count` records from each offset on; fewer where the partition ends, or time is over. A place is missing if
    neither a record nor the end was read in time. Raises Unreachable."""
    found: dict[Place, list[Message]] = {}
    unread = set(places)
    consumer.assign([TopicPartition(*place, offset) for place, offset in places.items()])
    give_up = time.monotonic() + patience_s
    while unread and time.monotonic() < give_up:
        done = set()
        for message in poll_batch(consumer, 500, 0.2):
            place = (str(message.topic()), int(message.partition() or 0))
            if place not in unread or place in done:
                continue
            error = message.error()
            if error is None:
                found.setdefault(place, []).append(message)
                if len(found[place]) >= count:
                    done.add(place)
            elif error.code() == KafkaError._PARTITION_EOF:
                found.setdefault(place, [])
                done.add(place)
        unread -= done
        if unread and done:
            consumer.pause([TopicPartition(*place) for place in done])
    consumer.unassign()
    return found
