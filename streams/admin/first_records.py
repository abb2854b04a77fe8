"""Reads one record at each of many places, for its time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, TopicPartition

from streams.admin.log_ends import Place
from streams.admin.records import time_of
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer

#: Settings of a consumer for `first_records`: it needs one record of a partition, so a fetch brings little.
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
    found: dict[Place, FoundRecord] = {}
    consumer.assign([TopicPartition(*place, offset) for place, offset in places.items()])
    give_up = time.monotonic() + patience_s
    while len(found) < len(places) and time.monotonic() < give_up:
        new: dict[Place, FoundRecord] = {}
        for message in poll_batch(consumer, 500, 0.2):
            place = (str(message.topic()), int(message.partition() or 0))
            if place in found or place in new:
                continue
            error = message.error()
            if error is None:
                new[place] = FoundRecord(int(message.offset() or 0), time_of(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                new[place] = FoundRecord(None, None)
        found |= new
        if len(found) < len(places):
            consumer.pause([TopicPartition(*place) for place in new])
    consumer.unassign()
    return found
