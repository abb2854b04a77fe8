"""Where partitions begin and end, in offsets and in time: few requests for any number of partitions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin._listoffsets import OffsetSpec

from streams.log import kafka
from streams.log.port import LogAdmin

TIMEOUT_S = 10.0

#: Typed as anything: its class methods have no annotations.
_SPEC: Any = OffsetSpec
#: A topic and a partition.
Place: TypeAlias = tuple[str, int]


class Ends(NamedTuple):
    """The first offset, and the one that the next record gets."""

    begin: int
    end: int


class Times(NamedTuple):
    """The time of the first record, and the newest time of any; None without records."""

    first_at: datetime | None
    last_at: datetime | None


def ends_of(admin: LogAdmin, places: Iterable[Place]) -> dict[Place, Ends]:
    """Return where partitions begin and end. Raises Unreachable."""
    wanted = list(places)
    begins, ends = _ask(admin, wanted, _SPEC.earliest()), _ask(admin, wanted, _SPEC.latest())
    return {place: Ends(begins[place].offset, ends[place].offset) for place in wanted}


def times_of(admin: LogAdmin, places: Iterable[Place]) -> dict[Place, Times]:
    """Return the times of the first and the newest record of partitions. Raises Unreachable."""
    wanted = list(places)
    first, last = _ask(admin, wanted, _SPEC.for_timestamp(0)), _ask(admin, wanted, _SPEC.max_timestamp())
    return {place: Times(_time(first[place].timestamp), _time(last[place].timestamp)) for place in wanted}


def _ask(admin: LogAdmin, places: Iterable[Place], spec: Any) -> dict[Place, Any]:
    asked = {TopicPartition(*place): spec for place in places}
    if not asked:
        return {}
    try:
        futures = admin.list_offsets(asked, request_timeout=TIMEOUT_S)
        return {(each.topic, each.partition): future.result(TIMEOUT_S + 5.0) for each, future in futures.items()}
    except KafkaException as error:
        raise kafka.translate(error, "asking for the ends of partitions") from error


def _time(millis: int) -> datetime | None:
    return datetime.fromtimestamp(millis / 1000, UTC) if millis >= 0 else None
