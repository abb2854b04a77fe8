"""A log of a test's own in memory, and records written to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from streams.log import kafka
from streams.log.memory import MemoryLog
from streams.log.memory.topic import Partition
from streams.settings import Settings

TOPIC = "requests.echo"


def write(settings: Settings, *records: dict[str, Any], topic: str = TOPIC) -> None:
    producer = kafka.producer(settings)
    for record in records:
        producer.produce(topic, **{"partition": 0, **record})
    producer.flush()


def stored(settings: Settings, partition: int = 0) -> Partition:
    """Return a partition as the twin keeps it."""
    log = MemoryLog.at(settings.bootstrap)
    assert log is not None
    return log.topic(TOPIC).partitions[partition]


def at(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
